"""The reference agency asked more often and judged sooner: an agency from outside the package, chosen by name."""
