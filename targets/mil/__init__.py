"""A saved Core ML package evaluated with torch, since nothing but Apple's own systems can run one."""
