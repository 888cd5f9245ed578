"""The vendor system PIMS, over httpx: which feeds there are, how to ask for one, when to ask next."""
