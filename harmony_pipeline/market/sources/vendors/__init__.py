"""What is known of single vendors' files: their columns, names, clocks, units and packings."""
