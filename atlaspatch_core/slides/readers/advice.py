"""What a refusal tells the user to do."""

COPY = "copy it again from its source, or export it again"
MORE_LENIENT = "open it with --reader-type tiff"
"""For generic TIFFs, such as the uncompressed ones of tifffile whose tiles are padded."""
BY_OPENSLIDE = "open it with --reader-type openslide, and state its scale in a CSV with the columns wsi,mpp (--mpp-csv)"
"""For colours in planes apart, in tiles: those of OME-TIFF are not looked for by OpenSlide, nor their scale."""
INSTALL_OPENSLIDE = "run: pip install openslide-python openslide-bin"
"""Where OpenSlide is not installed, or cannot be loaded."""
EXPORT = "export it as 8-bit RGB, in tiles compressed with JPEG, from the program that wrote it"
VIPS = "`vips tiffsave IN OUT.tiff --tile --pyramid --compression jpeg`"
CONVERT = f"convert it, with `atlaspatch convert` (PNG, JPEG, WebP, GIF) or with {VIPS}"
"""For pictures, which both decode from top to bottom. What no reader opens, `atlaspatch convert` cannot open either."""
TILE = f"store it in tiles, for example with {VIPS}"
BIOFORMATS = "Bio-Formats' `bfconvert -tilex 256 -tiley 256 -pyramid-resolutions 6 -pyramid-scale 2 IN OUT.ome.tiff`"

FOREIGN = {
    ".vsi": "Olympus VSI", ".ets": "Olympus ETS", ".isyntax": "Philips iSyntax", ".i2syntax": "Philips iSyntax",
    ".lif": "Leica LIF", ".zvi": "Zeiss ZVI", ".kfb": "KFBio", ".kfbf": "KFBio", ".tmap": "UNIC TMAP",
    ".mds": "Motic MDS", ".mdsx": "Motic MDSX", ".ims": "Imaris", ".nd2": "Nikon ND2", ".oib": "Olympus OIB",
    ".oif": "Olympus OIF",
}  # fmt: skip
"""Formats that no reader opens, by suffix. Some (VSI) are TIFFs of an overview only, so the suffix decides."""
