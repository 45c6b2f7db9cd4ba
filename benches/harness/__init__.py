"""What benches/builders.sh and benches/growth.sh are made of; needs nothing but Python's standard library."""
