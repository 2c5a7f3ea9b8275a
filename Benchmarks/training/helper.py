"""A second process that computes gradients beside the first.

One thread each: where others use the cores too, threads that wait for each other after every operation take longer than one
alone, and processes that meet once a step do not.
"""
import torch
import torch.multiprocessing


class Helper:
    """`gradients_of(step)` runs in the helper, leaves gradients in the model, and returns what the curve tells.

    To be made before the first backward pass: a process that has run one cannot be copied.
    """

    def __init__(self, model, gradients_of):
        self.parameters = list(model.parameters())
        model.share_memory()
        self.shared = [torch.zeros_like(p).share_memory_() for p in self.parameters]
        self.pipe, theirs = torch.multiprocessing.Pipe()
        work = torch.multiprocessing.get_context("fork").Process(target=self.work, args=(theirs, gradients_of), daemon=True)
        work.start()

    def work(self, pipe, gradients_of):
        while True:
            told = gradients_of(pipe.recv())
            for p, shared in zip(self.parameters, self.shared):
                if p.grad is not None:
                    shared.copy_(p.grad)
                    p.grad = None
            pipe.send(told)

    def begin(self, step):
        self.pipe.send(step)

    def add(self):
        """Waits for the gradients of the step that was begun, adds them, and returns what was told."""
        told = self.pipe.recv()
        for p, shared in zip(self.parameters, self.shared):
            if p.grad is not None:
                p.grad += shared
        return told
