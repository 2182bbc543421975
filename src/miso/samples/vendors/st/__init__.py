"""Legacy Spatial Transcriptomics: tables of counts and positions; the HER2ST data set among them."""
