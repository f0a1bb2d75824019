"""`onebar refresh`: yesterday's events in, a promoted bundle out.

A refresh drives the other commands of `onebar`, each as a process of its own, and imports none of their code.

    config     the settings, a YAML file
    serving    the bundle that is served, and the checkpoint that it was made from
    steps      the commands of one day, in their order
    commands   one command as a process of low priority
    journal    what was done, so that a refresh that was killed goes on
    run        the steps of a day, the verdict of the gate, the record
    alerts     a hook and a webhook
    textfile   metrics for the node exporter
    command    the command line
"""
