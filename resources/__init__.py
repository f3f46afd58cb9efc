"""What assets are handed: typed forms that build domain objects. Tests and notebooks use the domain
objects directly.
"""
