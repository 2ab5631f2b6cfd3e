"""What is counted, one file each."""
