"""Does the generator read its evidence, on real pairs of item titles and search queries?

    python -m benchmarks.title_pairs pairs.tsv.gz --work build/title_pairs --output build/title_pairs.json
    python -m benchmarks.title_pairs pairs.tsv.gz --baseline-only

Trains the generator on the train split of a file of judged (title, query) pairs, and tests it on the dev split beside
the title baseline. The item stands for the video; its anchors are the queries of the most similar titles of other
items. A share of the queries is held out: they occur nowhere in training, and at test only in the anchors.

    pairs     the file, its positive pairs, and how they are split
    examples  anchors for every pair, in the format of `onebar offline examples`
    run       tokenizer and Stage I, in one folder that can be resumed
    answers   what a checkpoint generates for the dev split, and which queries it could read
    figures   hit rates by group of queries, and reading recall
"""
