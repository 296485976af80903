from .declaration import PatchEncoder as PatchEncoder
from .declaration import SlideEncoder as SlideEncoder
from .loading import load_patch_encoder as load_patch_encoder
from .loading import load_slide_encoder as load_slide_encoder
from .patch import PATCH_ENCODERS as PATCH_ENCODERS
from .slide import SLIDE_ENCODERS as SLIDE_ENCODERS
