from .recipe import Recipe as Recipe
from .recipe import make_recipe as make_recipe
from .states import validities as validities
from .stored import stored_in_files as stored_in_files
