"""What is fitted on held-out rows once the network is trained: posteriors, confidences, fusion."""
