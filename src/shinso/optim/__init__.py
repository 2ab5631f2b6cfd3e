"""Update rules: torch's own, with less between the rule and the numbers."""
