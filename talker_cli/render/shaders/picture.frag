#version 330 core
// The finer picture at its final size, and behind it the ground: a colour, or a grey wall with a soft light on it behind the
// head, with a grain of less than one step that keeps the gradient from banding.

in vec2 place;
in vec2 spot;
out vec4 frag_color;

uniform sampler2D fine;

#ifdef STUDIO
const vec3 EDGE = vec3(0.115, 0.120, 0.132);
const vec3 MIDDLE = vec3(0.400, 0.408, 0.420);
#else
uniform vec3 background;
#endif

void main()
{
    vec4 figure = texture(fine, spot);  // between four of its pixels: their mean
#ifdef STUDIO
    vec2 away = place - vec2(0.06, 0.02);
    float light = 1.0 / (1.0 + 1.1 * dot(away, away));
    float grain = fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715)))) - 0.5;
    vec3 background = mix(EDGE, MIDDLE, light * light) + grain / 255.0;
#endif
    frag_color = vec4(figure.rgb + (1.0 - figure.a) * background, 1.0);
}
