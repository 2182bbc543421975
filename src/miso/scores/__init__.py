"""How well a prediction agrees with what was measured: metrics, ceilings, gene sets and paired tests."""
