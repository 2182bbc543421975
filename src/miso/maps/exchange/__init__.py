"""Maps in other tools' formats, one file a format; `export_map` and `export_regions` write them."""

from miso.maps.exchange.export import export_map, export_regions

__all__ = ["export_map", "export_regions"]
