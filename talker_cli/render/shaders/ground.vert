#version 330 core
// The backdrop: a square that fills the image, behind everything.

layout(location = 0) in vec3 position;

out vec2 place;

void main()
{
    place = position.xy;
    gl_Position = vec4(position.xy, 0.99999, 1.0);
}
