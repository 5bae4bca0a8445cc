"""HP-MCoRe, a file a component: V videos are B queries, then their B exemplars; T is
time, C and D are channels."""
