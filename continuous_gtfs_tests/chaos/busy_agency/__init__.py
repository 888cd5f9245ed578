"""The reference agency asked as often as a chaos run needs: an agency from outside the package, chosen by name."""
