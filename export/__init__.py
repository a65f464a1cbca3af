"""From snnTorch to a NIR bundle: conversion, the reference interpreter, the audit."""
