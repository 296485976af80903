"""The project file that ``atlaspatch init`` writes: every key with its default, or commented out where that is none."""

PROJECT = """\
# An atlaspatch project. Relative paths start at this file's folder. A key that is left out has the value shown here,
# unless it is marked "example".

# Folder for everything that is made. (example; default "atlaspatch_output")
output = "output"
# Python files that declare further encoders. Their code is executed.
plugins = []
# Encoders whose Python code, which lies beside their weights, may be run. Read it first.
allow_remote_code = []
# Licences that encoders and segmenters may have; others are refused. Default: any.
# allow_licenses = ["Apache-2.0", "MIT"]
# Who looks after the results, for the web UI: e-mail addresses, or "team:" and a name.
owners = []

[slides]
# Slide files, folders that are searched for slides, and patterns such as "slides/**/*.svs". (example; default [])
folders = @FOLDERS@
# Search the folders below, too.
recursive = false
# Suffixes that count as slides in folders. Default: all that can be read.
# extensions = [".svs", ".ome.tif"]
# Table of the slides to take, and no others: the column wsi, paths from the folder above with suffix, and perhaps mpp.
# slide_list = "slides.csv"
# Table with the columns wsi and mpp: µm per px of level 0, found by file name without suffix. It wins over the slide.
# mpp_csv = "mpp.csv"
# Further properties of slides that state µm per px; they are asked before those that are known.
mpp_keys = []
# Open every slide with this reader, instead of the one that knows its content. A wrong name is answered with a list.
# reader = "openslide"
# Folder of masks that take the place of the segmenter's: <stem>.geojson (level-0 px), or an image <stem>.png, .jpg or
# .tif over the whole slide, not zero where tissue is. Outlines edited in the output folder win over them.
# masks = "masks"
# Identify a slide by all its bytes instead of by samples from its head to its tail. Slow on network drives.
full_hash = false

[tissue]
# What finds the tissue.
segmenter = "otsu"
# Scale of the overview in which it is sought, µm per px.
overview_mpp = 8.0
# Gaps narrower than twice this are closed, µm.
closing_um = 16.0
# Smaller pieces of tissue are dropped, µm².
min_tissue_um2 = 20000.0
# Smaller holes are filled, µm².
min_hole_um2 = 10000.0
# Least area of one piece of tissue, as a share of the slide, 0 to 1.
min_tissue_share = 0.0
# How far a simplified outline may lie from the true one, µm.
simplify_um = 4.0
# Segmenters with a network call tissue what they give a higher probability, 0 to 1; the others ignore it.
seg_conf_thresh = 0.5
# Holes of min_hole_um2 and more are no tissue. false: all holes are filled.
remove_holes = true
# Folds, foreign bodies, pen marks, air bubbles and blur are no tissue; this needs GrandQC's artefact network.
remove_artifacts = false
# Ink is never tissue, but tissue beneath a thin stroke is. true: it is none either.
remove_penmarks = false

# One size and scale of patches, and the encoders that run on them. Repeat the block, each with a name of its own, for
# several.
[[geometry]]
# Subfolder of the output, and prefix of the assets; may stay empty where there is one geometry.
name = ""
# Side of a patch, px at the target scale. (example; required)
patch_size = 256
# Distance between neighbouring patches, px at the target scale. Default: the patch size.
# step_size = 256
# Target magnification, up to 120: 20 means 0.5 µm per px. (example; required, unless target_mpp is given)
target_mag = 20
# Target scale in µm per px, instead of target_mag.
# target_mpp = 0.5
# What decides the scale of a slide: "true", its µm per px; "nominal", the ratio of nominal magnifications.
scale = "true"
# Least tissue share of a patch's own area, 0 to 1.
min_tissue = 0.1
# Which patches are kept: "lattice", by min_tissue; "atlaspatch", by AtlasPatch's test of four points.
rule = "lattice"
# Patches over the right or bottom edge of the slide: "pad" fills them with white, "drop" leaves them out.
edge = "pad"
# Patch encoders; those that the slide encoders need run by themselves.
patch_encoders = []
# Slide encoders. (example; default [])
slide_encoders = ["mean-efficientnet_lite0"]
# Number format of the patch encoders: "float32", "float16" or "bfloat16"; "own" is what the makers of each encoder use.
# On a CPU float16 becomes float32.
precision = "float16"
# Side to which the patch encoders scale a patch, px. Vision transformers can take multiples of their own patches.
# Default: each encoder's own.
# input_size = 448
# Folder of coords that take the place of the grid's: <stem>.h5 or <stem>_patches.h5, of this package, TRIDENT,
# AtlasPatch or CLAM. Size and scale must be those above.
# coords = "coords"
# How patches that are coarser than the level they are read from get their px, for features: "area" averages; "dct"
# decodes JPEG tiles at an eighth of their size where patches have just that scale, which is twice as fast and differs
# by 0.6 of 255 on average. At a half or a quarter it is not twice as fast, and "dct" averages, too.
downscale = "area"

# Read every patch, and drop those that are nearly all white or black. Off by default.
# [geometry.filters]
# A bright px of less saturation (0 to 255) is white.
# white_thresh = 15
# A px of less gray value (0 to 255) is black.
# black_thresh = 50
# Patches of less sharpness are blurred and dropped: the variance of the Laplacian over that of the gray values, at 1 µm
# per px. Sharp tissue has 0.2 to 2.5; 0.15 is a good start. Default: off.
# min_sharpness = 0.15
# Patches with a larger share under ink are dropped, 0 to 1. Default: off.
# max_pen = 0.2

# Local weights, instead of those that an encoder declares.
[weights]
# The encoder's name, and the file. (example; default none)
# uni_v1 = "/models/uni.bin"

# Cases of one or more slides, which get one embedding each.
[patients]
# Table with the columns case_id and slide_path, and mpp where the slide does not say it. (example; default none)
# manifest = "cases.csv"
# Patient encoders: "moozy", or "mean-" and a patch encoder.
encoders = []

# What is usual in this cohort. Slides beyond a bound get a warning: on the command line, and as an asset check.
[quality]
# Least and most share of the slide that is tissue, 0 to 1.
min_tissue_share = 0.001
# The most.
max_tissue_share = 0.95
# Most pieces of tissue.
max_fragments = 200
# Most share of the slide that is grey and near black; fluorescence has more.
max_dark_share = 0.3
# Most share of the slide under ink.
max_pen_share = 0.05
# Most share of the tissue that is blurred, judged by up to 32 windows of 128 µm.
max_blur_share = 0.5
# Findings that stop a slide instead of warning: "no_tissue", "little_tissue", "much_tissue", "many_fragments",
# "dark_background", "pen_marks", "blurred", "emptied_by_artifacts".
block = []

# What happens when an encoder, the segmenter or a geometry changes.
[upgrades]
# Compute stale results anew without being asked. false: it is proposed, with slides, patches, hours and gigabytes.
automatic = false
# A changed patch encoder is first tried on so many slides. Where it gives the same numbers, stored features are kept.
canary_slides = 10
# Patches of each of them.
canary_patches = 50
# Least cosine of stored and new features, of every patch, that counts as the same numbers.
least_cosine = 0.9999

# Pictures to write beside the results; the small ones for the web page are always made.
[pictures]
# The patches, drawn on the slide.
grids = false
# The tissue mask, drawn on the slide.
mask = false
# The outlines of the tissue, drawn on the slide.
contours = false
# Every patch as a PNG.
save_images = false
# Patches as images under TRIDENT's names, patch_images/<stem>/<row>_x<X>_y<Y>.png.
dump_patches = false
# So many patches of a slide, the first ones; 0 is all.
dump_patches_max = 0
# "png" or "jpg".
dump_patches_format = "png"
# Quality of the JPEGs, 1 to 100.
dump_patches_jpeg_quality = 90

# What decides the speed, and no number.
[runtime]
# Where the segmenter and the slide encoders run: "cpu", "cuda", "cuda:N" or "mps". Without CUDA it is the CPU.
device = "cuda"
# Where the patch encoders run. Default: the device.
# feature_device = "cuda:1"
# Patches that an encoder takes at once.
feature_batch_size = 32
# Most overviews that the segmenter takes at once; it takes one at present.
segmentation_batch_size = 1
# Threads that read and decode patches; 0 is one per core.
read_workers = 0
# Threads of torch and OpenCV; 0 is one per core.
threads = 0
# Most rows in one chunk of an HDF5 file.
write_rows = 8192
# Slides of one Dagster run.
slides_per_run = 128
"""
