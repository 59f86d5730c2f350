"""Prints the numbers of optimizer_test.cc. Needs torch (any 2.x) in a virtualenv."""
import torch

p = torch.tensor([1.0, -0.5, 2.0], requires_grad=True)
o = torch.optim.AdamW([p], lr=0.1, weight_decay=0.01)
for step in range(5):
    p.grad = torch.tensor([0.3, -0.2, 0.1]) * (step + 1)
    o.step()
print([f"{v:.6f}" for v in p.tolist()])
