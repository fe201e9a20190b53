"""Documentation: how-to by hand, reference from the code, decisions in adr/."""
