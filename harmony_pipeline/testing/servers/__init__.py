"""Local servers that speak the venues' own protocols over real connections, with faults on demand;
what clients are tested against.
"""
