#version 330 core
// Depth alone: what the occlusion is measured on.

void main()
{
}
