#version 330 core
// The studio alone, for a page that draws its ground first.

in vec2 place;
out vec4 frag_color;

void main()
{
    frag_color = vec4(studio(place), 1.0);
}
