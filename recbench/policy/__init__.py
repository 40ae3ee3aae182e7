"""What is shown of what was retrieved: bandits, exploration with known chances, policy gradient."""
