"""Does the generator read its evidence, on real pairs of item titles and search queries?

    python -m benchmarks.title_pairs pairs.tsv.gz --work build/title_pairs --output build/title_pairs.json
    python -m benchmarks.title_pairs pairs.tsv.gz --anchors fused
    python -m benchmarks.title_pairs pairs.tsv.gz --baseline-only

Trains an embedder and the generator on the train split of a file of judged (title, query) pairs, and tests them on the
dev split beside the title baseline. The item stands for the video; its anchors are queries of other items, found by
TF-IDF, by the embedder or by both. A share of the queries is held out: they occur nowhere in training, and at test only
in the anchors.

    pairs      the file, its positive pairs, and how they are split
    embedder   an embedder that learns query -> title
    retrieval  queries of other items for a title: candidates, and the weights of their figures
    ranking    trees that rank these candidates
    anchors    anchors of all pairs; those of a train pair come from an embedder that has not seen its item
    examples   pairs with anchors, in the format of `onebar offline examples`
    prepared   all that is made before the generator is trained, in the folder of the run
    run        Stage I, in a folder that can be resumed
    answers    what a checkpoint generates for the dev split, and which queries it could read
    figures    hit rates by group of queries, paired differences, and reading recall
"""
