"""Where bytes come from: one HTTP client, and the policy on whom it may contact."""
