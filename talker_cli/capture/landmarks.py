"""MediaPipe's face landmarks by their numbers: what each group lies on, and which points keep still while a face speaks.

The numbers are those of MediaPipe's face mesh (468 points and 10 of the irises). The subject's right side is -x.
"""

# Right half of each contour, from the corner to the middle; the left half is its mirror image, number by number.
INNER_UPPER = ((78, 191, 80, 81, 82, 13), (308, 415, 310, 311, 312, 13))
INNER_LOWER = ((78, 95, 88, 178, 87, 14), (308, 324, 318, 402, 317, 14))
OUTER_UPPER = ((61, 185, 40, 39, 37, 0), (291, 409, 270, 269, 267, 0))
OUTER_LOWER = ((61, 146, 91, 181, 84, 17), (291, 375, 321, 405, 314, 17))
RED_UPPER = ((62, 183, 42, 41, 38, 12), (292, 407, 272, 271, 268, 12))  # between the inner and the outer contour
RED_LOWER = ((62, 96, 89, 179, 86, 15), (292, 325, 319, 403, 316, 15))
# Lids from the outer corner to the inner one.
LID_UPPER = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
LID_LOWER = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
BROW_UPPER = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
BROW_LOWER = ((46, 53, 52, 65, 55), (276, 283, 282, 295, 285))
CHIN_LINE = ((200, 199, 175, 152), (148, 377), (176, 400))
IRIS = (468, 473)  # centres
AROUND_MOUTH = (164, 167, 393, 165, 391, 92, 322, 186, 410, 57, 287, 43, 273, 106, 335, 182, 406, 83, 313, 18, 200, 201, 421,
                194, 418, 204, 424)  # fmt: skip
SKIN = (50, 280, 117, 346, 101, 330, 36, 266, 205, 425, 151, 9, 8, 6, 108, 337)  # cheeks, bridge of the nose, forehead

# Points that speech, blinks and brows hardly move: corners of the eyes (outer ones first), nose, temples, forehead.
STILL = (33, 263, 133, 362, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 10, 151, 9, 8, 127, 356, 54, 284, 21, 251, 109, 338)
LIP_PAIRS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402), (80, 88), (310, 318), (191, 95), (415, 324))  # upper, lower
MOUTH_CORNERS = (78, 308)
BRIDGE, CHIN = 168, 152
