"""Components for the everyday, made of the package's resources."""
