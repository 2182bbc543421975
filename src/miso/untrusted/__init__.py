"""What comes from others, held to limits before it is believed; docs/security.md says against whom."""
