"""What machine there is: platforms as validated data, every constant with unit and source."""
