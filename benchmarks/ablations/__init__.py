"""Makes Tables 3 to 7 and Figures 4 to 7 of the paper from one configuration.

    python -m benchmarks.ablations benchmarks/ablations/full.yaml --work var/ablations
    python -m benchmarks.ablations CONFIG --work FOLDER --only table5 --only figure6
    python -m benchmarks.ablations CONFIG --work FOLDER --report

Trains and measures one run after another, each in a folder of its own. The same command again skips what is finished
and continues what was interrupted. The report is of what is finished, and names what is missing. docs/ablations.md
says what each table answers.

    config      the YAML file
    variants    the runs that are compared
    plan        runs in order, and their commands
    facts       what a run depends on, and whether it is finished
    run         does them
    measure     the answers of a checkpoint to the clicks of the test day
    verbose     the prompt that the compact schema is compared with
    answers, curves, results  what runs leave, and how it is read
    statistics, tables, figures, plots, report  what is made of it
"""
