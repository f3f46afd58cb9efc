"""Primary signals: features in, side and strength out."""
