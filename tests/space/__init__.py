"""Tests of spaces, subnets and shape graphs; `spaces` holds the small spaces that other packages' tests use too."""
