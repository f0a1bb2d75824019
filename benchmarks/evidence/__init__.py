"""How do time and memory of `onebar offline build` grow with the number of videos?

    python -m benchmarks.evidence --work var/scale --videos 10000 --embedder demo/bundle/embedder
    python -m benchmarks.evidence --work var/scale --videos 10000 --videos 100000 --videos 1000000 --plot docs/scale.svg

For each size a world is simulated (20 impressions a video, 12 days, one user for two videos), and the command builds
its evidence. Both run as processes of their own. Of the world and of each step of the build, seconds, CPU seconds and
peak memory are kept in WORK/<videos>/. What is there is not measured again, so a run that was ended goes on where it
was, and a size can be added later. CPU seconds say what a quiet machine would need.
"""
