// Which silhouette a product type has.
import { HOUSE, oval, rect } from "./shapes_house.js";
import { PLAY } from "./shapes_play.js";
import { WEAR } from "./shapes_wear.js";

const PARCEL = [["b", rect(-80, -50, 160, 150, 8)], ["a", rect(-16, -50, 32, 150)], ["w", rect(-62, 44, 40, 34, 4)], ["k", oval(60, 76, 6)]];
const SHAPES = { ...HOUSE, ...WEAR, ...PLAY };

const SHAPE_OF_TYPE = {
  "air fryer": "fryer", "coffee maker": "coffee", blender: "blender", "rice cooker": "cooker", "frying pan": "pan", "knife set": "knives", "electric kettle": "kettle", "lunch box": "lunchbox",
  lipstick: "lipstick", foundation: "bottle", mascara: "mascara", "face serum": "dropper", sunscreen: "tube", "hair dryer": "dryer", "face mask": "pouch", perfume: "perfume",
  "maxi dress": "dress", cardigan: "jacket", handbag: "handbag", leggings: "pants", "high heels": "heel", "trench coat": "coat", "pajama set": "shirt", swimsuit: "swimsuit",
  sneakers: "sneaker", hoodie: "hoodie", "cargo pants": "pants", "dress shirt": "shirt", "bomber jacket": "jacket", "leather belt": "belt", beanie: "beanie", "boxer briefs": "briefs",
  smartphone: "phone", "phone case": "phonecase", "power bank": "box", "wireless earbuds": "earbuds", "phone gimbal": "gimbal", "charging stand": "stand", "screen protector": "phone", "selfie light": "ringlight",
  "mechanical keyboard": "keyboard", "gaming mouse": "mouse", monitor: "monitor", laptop: "laptop", webcam: "camera", "laptop stand": "laptop", "external drive": "box", "desk lamp": "robotlamp",
  "robot vacuum": "vacuum", "area rug": "rug", "floor lamp": "lamp", "bed sheets": "folded", "storage shelf": "shelf", "mattress topper": "folded", curtains: "curtains", "air purifier": "tower",
  "yoga mat": "roll", "adjustable dumbbells": "dumbbell", "walking pad": "treadmill", "resistance bands": "bands", "massage gun": "massager", "running shoes": "sneaker", "jump rope": "bands", "water bottle": "flask",
  "camping tent": "tent", "hiking boots": "boot", "sleeping bag": "roll", "camping chair": "chair", "cooler box": "cooler", headlamp: "headlamp", "fishing rod": "rod", "hiking backpack": "backpack",
  stroller: "stroller", "baby carrier": "backpack", "baby monitor": "camera", "diaper bag": "handbag", "high chair": "highchair", "breast pump": "bottle", "play mat": "rug", "night light": "nightlight",
  "cat tree": "cattree", "dog harness": "harness", "pet camera": "camera", "litter box": "litter", "dog bed": "petbed", "water fountain": "fountain", "grooming kit": "massager", "fish tank": "tank",
  "building blocks": "blocks", "remote control car": "car", "plush toy": "bear", "board game": "game", drone: "drone", puzzle: "puzzle", "water blaster": "blaster", "slime kit": "jar",
  "sewing machine": "sewing", "glue gun": "blaster", "acrylic paint": "tube", "crochet kit": "yarn", "marker set": "markers", "resin kit": "bottle", "cutting machine": "printer", "diamond painting": "frame",
  "dash cam": "camera", "car vacuum": "dryer", "tire inflator": "inflator", "seat covers": "seat", "phone mount": "stand", "motorcycle helmet": "helmet", "jump starter": "inflator", "pressure washer": "washer",
  "raised garden bed": "planter", "patio set": "chair", "garden hose": "hose", "solar lights": "lights", "grow light": "lamp", "lawn mower": "mower", "fire pit": "firepit", "pruning shears": "shears",
};

/** Returns the parts of the silhouette of a product type; a parcel for an unknown one. */
export const shapeOf = (noun) => SHAPES[SHAPE_OF_TYPE[noun]] ?? PARCEL;
