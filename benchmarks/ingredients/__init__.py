"""What is each ingredient of the foundation's recipe worth?

    python -m benchmarks.ingredients run SHOP... --tokenizer tokenizer.json --unseen SHOP --work build/ingredients
    python -m benchmarks.ingredients plot build/ingredients/result.json docs/ingredients.svg

Trains one variant after another for the same minutes, on the same data, from the same seed: the recipe of
training/configs/foundation.yaml, and the recipe without one of its ingredients. Every variant is measured on the test
days of shops that took no part in training, and on the validation day of the first training shop.

    variants  the table of variants
    plan      what all variants have in common, and the commands of each
    run       trains and measures; a finished variant is not run again
    measure   the figures of a trained variant
    report    the table in Markdown, and the plot of the learning curves
"""
