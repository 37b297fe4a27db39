# continue: $epoch of $epochs epochs are done
sat2map train --resume $run

# translate images of any size
sat2map translate photo.jpg --model $model --output maps

# score it, beside a map of one colour
sat2map evaluate --model $model --data $data --report scores.html

# in Python
import sat2map
generated = sat2map.Translator.open($path)("photo.jpg")  # uint8 (height, width, bands)
