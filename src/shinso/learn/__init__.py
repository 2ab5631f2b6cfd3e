"""Ready programs: supervised, adversarial, offpolicy, iterate."""
