#version 330 core
// The finer image at its final size, and behind it the ground: a colour, or the studio.

in vec2 place;
in vec2 uv;
out vec4 frag_color;

uniform sampler2D fine;
uniform vec3 background;

void main()
{
    vec4 mesh = texture(fine, uv);  // between four of its pixels: their mean
#ifdef STUDIO
    vec3 ground = studio(place);
#else
    vec3 ground = background;
#endif
    frag_color = vec4(mesh.rgb + (1.0 - mesh.a) * ground, 1.0);
}
