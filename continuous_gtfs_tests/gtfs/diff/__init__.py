"""Tests of the diff of two feeds."""
