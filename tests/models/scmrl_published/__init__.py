"""What the authors' own code of S-CMRL gives on small cases: numbers, and how they were recorded."""
