// What each code means: the texts behind `netc explain`. One entry a code: the meaning, an example, the fix.
#include <algorithm>
#include <iterator>

#include "dsl/diagnostic.h"

namespace netc {
namespace {

struct Explanation {
  std::string_view code, text;
};

constexpr Explanation explanations[] = {
    // ---- N1xx: text, names, values ----------------------------------------------------------------------------------
    {"N101", R"(N101: unexpected text

The text does not go on as the grammar wants. The message says what could have stood there and what was found.

    conv(6, 5, pad = ) -> relu;       // a value is missing after `=`
    linear(120) -> sigmoid            // `;` is missing before the next statement
    linear(84);

Fix: write what was expected. Statements end with `;`, arguments are separated by `,`, layers are composed with `->`.
)"},
    {"N102", R"(N102: bytes that are no text

A `.net` file is UTF-8. Other encodings, control characters (NUL, form feed, a carriage return without line feed) and
characters that reorder text from right to left are refused everywhere, also in comments and strings: with them a
reader would see another program than netc does.

Fix: save the file as UTF-8 and remove the character that the caret shows.
)"},
    {"N103", R"(N103: not a name

Names are made of the ASCII letters, digits and `_`, do not begin with a digit, and are at most 64 long. Generated
C++ uses them, so `__` anywhere and `_` before a capital at the start are refused: C++ keeps such names for itself.
A label may also be a number.

    let größe = 3;                    // ö and ß
    3x3: conv(64, 3);                 // neither a name nor a number

Fix: choose another name. Comments and strings may hold any text.
)"},
    {"N104", R"(N104: a reserved word as a name

The words of the language and the keywords of C++ are not names: the generated C++ has members, functions and
namespaces with your names. A label may be a word of the language, but not a keyword of C++.

    let repeat = 3;                   // a word of the language
    class: linear(10);                // a keyword of C++

Fix: choose another name, for example `repeats` or `classes`.
)"},
    {"N105", R"(N105: a broken string

A string begins and ends with `"` on one line. Inside, `\"` stands for a quote and `\\` for a backslash; there are no
other escapes.

    import "blocks.net;               // the closing quote is missing

Fix: add the closing quote, or write `\\` for a backslash.
)"},
    {"N106", R"(N106: brackets do not match

Every `(`, `[` and `{` is closed by its own `)`, `]` or `}`. The note shows the bracket that is still open.

    conv(6, 5, pad = 2] -> relu;      // `]` cannot close `(`

Fix: close the bracket, or remove the closing one that is too many.
)"},
    {"N107", R"(N107: too large or too deep

Brackets nest at most 256 deep, a file holds at most 4 MB, and an expression may not nest without bound by other means
(`a.0.0.0…`). The limits keep a broken or hostile file from exhausting the memory of your machine.

Fix: give parts names with `block` and `let`, and write `repeat` in place of copies.
)"},
    {"N108", R"(N108: unknown name

Nothing of this name can be seen here: no value, block, operator, label or setting. A `let` is seen below itself in
its own list and in the lists inside; a block sees its parameters and top-level definitions only.

    conv(6, 5) -> rleu;               // did you mean `relu`?
    from(hed);                        // no label `hed` above

Fix: correct the spelling, define the name above its use, or pass it to the block as an argument.
)"},
    {"N109", R"(N109: the number is too large

Whole numbers are between -2^63 and 2^63 - 1; numbers with a point or an exponent are at most about 1.8e308.

    linear(99999999999999999999);

Fix: write a smaller number.
)"},
    {"N110", R"(N110: not a compile-time value

Arguments, conditions and counts are computed by netc before the model exists, so they cannot use what layers compute.

    repeat x[0] { relu }              // a layer's element, known only when the model runs

Fix: use numbers, `let` values and block parameters.
)"},
    {"N111", R"(N111: a value of the wrong type

The place needs another type of value: an int, a number, true or false, a string, a tuple of a certain length, or a
layer.

    conv("six", 5);                   // channels is an int
    if 3 { relu }                     // a condition is true or false
    repeat (n, c) in ((1, 2), 3) { }  // 3 cannot be taken apart

Fix: pass a value of the type that the message asks for.
)"},
    {"N112", R"(N112: division by zero

The right side of `/` or `%` is zero.

    let half = width / (2 - 2);

Fix: correct the divisor, or guard it with `if d == 0 { … } else { … }`.
)"},
    {"N113", R"(N113: no such element

Elements of a tuple are counted from 0: a tuple of three has the elements 0, 1 and 2.

    let c = (96, 128);
    conv(c.2, 3);                     // c.0 and c.1 exist

Fix: use an element that exists; `len(c)` is the number of elements.
)"},
    {"N114", R"(N114: comparisons do not chain

`a < b < c` would compare true or false with c.

    if 0 < i < 3 { relu }

Fix: write `0 < i && i < 3`.
)"},
    {"N115", R"(N115: a value out of range

The value has the right type, but not one that the argument can take: a kernel of size 0, a negative padding, a
probability above 1.

    conv(64, 0);

Fix: use a value in the range that the message gives.
)"},
    {"N116", R"(N116: a positional argument after a named one

Arguments without a name come first, in the order of the parameters; named ones follow in any order.

    conv(64, stride = 2, 3);

Fix: write `conv(64, 3, stride = 2)`.
)"},
    {"N117", R"(N117: too many arguments

More arguments are given than the operator or block has parameters.

    relu(1);

Fix: remove the arguments that are too many.
)"},
    {"N118", R"(N118: unknown argument

The operator or block has no parameter of this name. In formulas, tensors and elements are told apart by their places
alone: they have no names.

    conv(64, 3, padding = 1);         // it is called `pad`
    fn total(a: f32[m, n]) = sum(x = a, axis = 1);   // write sum(a, axis = 1)

Fix: use one of the names that the help lists, or none.
)"},
    {"N119", R"(N119: an argument is given twice

One parameter has two values: both by name, or once by its place and once by name.

    conv(64, 3, channels = 32);       // 64 is `channels` already

Fix: keep one of them.
)"},
    {"N120", R"(N120: a missing argument

A parameter without a default needs a value.

    conv(64);                         // no kernel

Fix: pass the argument, or give the block's parameter a default: `block b(kernel = 3)`.
)"},
    {"N121", R"(N121: the model unrolls too far

`repeat` and blocks are copied where they are used. A `repeat` of more than 10,000 rounds, or a model of more than
200,000 layers, is taken for a mistake. So are a formula that is more than 500 operations deep or has more than 10,000
parts, functions that call one another more than 32 deep, and a definition that, with the functions that it calls, has
more than 100,000 expressions.

    repeat 1000000 { linear(8) }

Fix: use a smaller count; compute parts of a formula by equations of their own.
)"},
    {"N122", R"(N122: from() in the middle of a chain

`from(name)` takes up the value of a label; what stands before it in its chain would be lost.

    conv(64, 3) -> from(stem) -> relu;

Fix: begin a statement with `from(…)`, or join both values with `add { … }` or `concat { … }`.
)"},
    {"N123", R"(N123: a branch that gives no value

Each statement of `add { }` and `concat { }` is a branch: a layer that makes a value of the common input. An `if`
without `else` might be no branch at all; `input`, `loss` and the like are none.

    add { conv(64, 3, pad = 1); if project { conv(64, 1) } }

Fix: add `else { identity }`, or move the statement out of the braces.
)"},
    {"N124", R"(N124: no branches

`add { }` and `concat { }` need at least one branch.

    add { }

Fix: write the branches, one a statement.
)"},
    {"N125", R"(N125: a definition that needs itself

A block that calls itself, straight or through others, would never end; the same holds for files that import each
other. The message shows the way around.

    block a() { b }
    block b() { a }

Fix: break the circle; write `repeat` for repetition.
)"},
    {"N126", R"(N126: not a layer

The name stands for something that cannot be put in a chain: a number, a distribution, a loss, an input.

    let width = 64;
    conv(64, 3) -> width;

Fix: use an operator, a block, a shared layer or a group.
)"},
    {"N127", R"(N127: a statement of the model's inside a block

`input`, `output`, `loss` and `train` belong to the model itself. A block takes its input from where it is called.

    block b() { input x: f32[N, 4]; relu }

Fix: move the statement into the model.
)"},
    {"N128", R"(N128: a label twice in one list

A label names one statement of its list; paths and `from` could not tell two apart.

    fc: linear(120);
    fc: linear(84);

Fix: choose two labels.
)"},
    {"N129", R"(N129: no input

A model states the shape of what it is fed before its first layer.

    model m { linear(10); }

Fix: begin the model with an input such as `input image: f32[N, 1, 28, 28];`.
)"},
    {"N130", R"(N130: an import that leaves the project

An import is a path relative to the importing file, or begins with `std/`. Absolute paths and `..` are refused, so that
a model reads no files other than its own.

    import "../secret.net";

Fix: move the file below the importing one.
)"},
    {"N131", R"(N131: an import that cannot be read

The imported file does not exist, is a folder or another thing that is no regular file, or may not be read. The message
says which.

    import "std/blcoks.net";

Fix: correct the path; it is relative to the importing file.
)"},
    {"N132", R"(N132: declared twice

Two definitions of one file, two of one list, or two parameters of one definition have the same name. A definition of
the file's own may hide an imported one, but not another of its own.

    block stage(n) { relu }
    block stage(n) { tanh }

Fix: rename or remove one.
)"},
    {"N133", R"(N133: no model

The file defines no model, or none of the name that `--model` gives. A file without one can be imported by others, but
there is nothing to generate.

    netc pair.net --model tide        // the file has `model tied`

Fix: add `model name { … }`, give netc the file that imports this one, or name a model that the file has.
)"},
    {"N135", R"(N135: an option that sets nothing

`--set path=value` replaces the value of a `let` that stands directly in the model, or of a setting of its `train`
clause (`train.epochs`, `train.optimizer.lr`). The path must exist, and the value be of the type that it replaces.

    netc model.net --set rato=4       // did you mean `ratio`?

Fix: use a path that the help names, and a value such as 4, 0.5, true, relu or (1, 2).
)"},
    {"N141", R"(N141: the wrong number of inputs

An operator, layer or function of several inputs takes a branch for each, in braces; all others take the value before
them.

    matmul { from(a); from(b) }
    relu { from(a); from(b) }         // relu takes one input

Fix: give as many branches as there are inputs.
)"},
    {"N142", R"(N142: an incomplete `fn` or `layer`

A layer and a function with a body give their result by an equation for `y`. A function without types takes the element
`x` as its first parameter, and is one expression; parameters that are trained belong to a layer.

    layer nothing() { z[n, c] = x[n, c]; }      // no y

Fix: write y[…] = …;
)"},
    {"N143", R"(N143: not possible in a formula

Formulas are made of elements, numbers, + - * / ^, comparisons, `if`, and functions such as exp. Functions of whole
tensors stand in expressions over whole tensors, elements with indices in equations.

    fn named(x) = x * "two";
    fn whole(a: f32[m, n]) = a[0] + 1;          // an element in an expression over whole tensors

Fix: write an equation where elements are wanted, as in fn whole(a: f32[m, n]) { y[j] = a[0, j] + 1; }
)"},
    {"N144", R"(N144: an example that does not hold

`example f(…) == value;` states what a tensor function gives; `netc check --examples` computes it. Tensors are numbers,
tuples of equal length, arange, ones, zeros and full; gradient(f, x) is the gradient of the sum of f's elements.

    fn l1(x: f32[n]) = sum(abs(x));
    example l1((3, -4)) == 1;            // it is 7

Fix: correct the function or the figure.
)"},

    // ---- N2xx: shapes -----------------------------------------------------------------------------------------------
    {"N201", R"(N201: the branches of `add` differ in shape

Values are added element by element, so all branches must have one shape.

    add { conv(128, 3, stride = 2, pad = 1); identity }     // [N,128,12,12] and [N,64,24,24]

Fix: give the shortcut the same channels and stride, for example `conv(128, 1, stride = 2)` in place of `identity`.
)"},
    {"N202", R"(N202: the window exceeds the padded input

The kernel is larger than the image with its padding (with dilation it covers dilation * (kernel - 1) + 1 pixels), so
there is no place to put it.

    input image: f32[N, 1, 4, 4];
    conv(8, 7);

Fix: use a smaller kernel, more padding, or smaller strides above.
)"},
    {"N203", R"(N203: the wrong number of dimensions

conv, batchnorm and pooling want images [N, C, H, W]; linear wants vectors [N, features]. No tensor has more than six
dimensions.

    conv(16, 5) -> linear(10);

Fix: put `flatten` before `linear`: `conv(16, 5) -> flatten -> linear(10)`.
)"},
    {"N204", R"(N204: not a whole number

`/` gives an exact fraction. Where a whole number is needed, a fraction is not rounded silently.

    let channels = 10;
    conv(channels / 4, 3);            // 5/2

Fix: choose numbers that divide, or round on purpose: `floor(channels / 4)`.
)"},
    {"N205", R"(N205: too large

A size or a compile-time number leaves its range: a shape has more than 2^31 - 1 bytes an example, an index runs over
numbers that do not fit 32 bits, a value does not fit 64 bits, or a layer takes more tensors than a kernel has room for.

    input image: f32[N, 3, 100000, 100000];

Fix: use smaller extents, channels or exponents.
)"},
    {"N206", R"(N206: groups do not divide the channels

A grouped convolution splits its input and its output channels evenly.

    conv(64, 3, groups = 3);

Fix: choose groups that divide both numbers of channels.
)"},
    {"N207", R"(N207: the branches of `concat` do not fit

Values are put behind each other along one axis (the channels, unless `axis = …` says otherwise); every other extent
must agree.

    concat { conv(64, 1); conv(64, 3) }     // 3x3 without padding is smaller

Fix: give the branches the same height and width, here with `pad = 1`.
)"},
    {"N208", R"(N208: an index over two extents

An index runs over the extent of the dimension where it stands alone; all such places must agree.

    layer dense(out) { param w: f32[out, 7]; y[n, o] = sum[i](x[n, i] * w[o, i]); }     // x is [N,5]

Fix: correct the size, use two indices, or give the range: i in 0..5.
)"},
    {"N209", R"(N209: a pool is padded by more than half of its window

A window of a pool must cover at least one pixel of the image, and the padding of one side may not fill more than half
of it.

    maxpool(3, pad = 2);

Fix: pad by at most half of the kernel: `maxpool(3, pad = 1)`.
)"},
    {"N210", R"(N210: a shared layer at two widths

A shared layer has one set of parameters, so all its inputs must have the same number of features or channels.

    shared h = linear(8);
    linear(8) -> h -> linear(4) -> h;       // 8, then 4

Fix: use it at one width, or declare two layers.
)"},
    {"N211", R"(N211: `expect` failed

The shape at this place is not the one that `expect` states.

    conv(96, 11, stride = 4);
    expect [N, 96, 55, 55];

Fix: correct the layers above, or the statement.
)"},
    {"N212", R"(N212: the wrong number of indices

A tensor in an equation has an index for each of its dimensions.

    layer scaled() { param gamma: f32[c]; y[n, c, h, w] = x[n, c, h, w] * gamma; }

Fix: write gamma[c].
)"},
    {"N213", R"(N213: an index without a range

Every index stands on the left side or in a reduction, and stands alone in some dimension, which says how far it runs.

    y[n, i] = sum[k](x[n, i + k]);       // k runs over what?

Fix: give the range: sum[k in 0..3](x[n, i + k]). An index on the left whose reads are all shifted needs one, too; the
extents of an input can be named for it:

    input x: f32[N, C];
    y[n, i in 0..C] = sum[k in 0..3](x[n, i + k - 1]);
)"},
    {"N214", R"(N214: an index that cannot be

Indices are sums of indices and whole numbers, such as h + 1 and 2 * i. The index of the batch stands alone, first and
once: examples know nothing of each other, but may be summed over.

    y[n, i] = x[n + 1, i];               // the next example
    y[n, i] = x[n, i * i];               // no sum

Fix: keep the batch's index as it is, and others sums.
)"},
    {"N215", R"(N215: shapes that do not go together

Element by element, shapes are matched from the last dimension on: extents must be equal, or 1. Products have a
dimension in common; axes exist; `reshape` keeps the number of elements.

    matmul { from(a); from(b) }          // [N,3,4] and [N,5,2]

Fix: look at the shapes in the message; keepdim = true keeps a reduced axis with extent 1.
)"},

    // ---- N3xx: training ---------------------------------------------------------------------------------------------
    {"N301", R"(N301: not a loss that can be trained

`loss` takes cross_entropy (scores of classes against labels) or mse (values against values).

    loss accuracy;

Fix: write `loss cross_entropy;` or `loss mse;`.
)"},
    {"N302", R"(N302: no gradient on the way to the loss

An operator between a parameter and the loss has no derivative, so training could not change the parameter.

Fix: replace the operator, or take it off the way to the loss.
)"},
    {"N303", R"(N303: classes and labels disagree

The data have more classes than the model has outputs, so some labels could never be right.

    linear(5);
    train { data = fashion_mnist; }         // labels 0 … 9

Fix: make the last layer as wide as the data have classes.
)"},
    {"N304", R"(N304: a setting of `train` that does not fit

The setting is unknown, stands twice, or has a value that it cannot take; or there is a `train` and no `loss`.

    train { data = fashion_mnist; batchsize = 256; schedule = exponential; }

Fix: use a setting of the language reference (`train --help` of a model's program lists them, too), and state a `loss`.
)"},
    {"N305", R"(N305: an `init` that selects nothing

`init` names an operator or the beginning of a path, and a parameter of the layers there: weight or bias.

    head: linear(10);
    init haed: weight = normal(0, 0.01);
    init linear: gamma = 1;           // linear has weight and bias

Fix: use a path that `netc summary` prints, and a parameter of the layer.
)"},
    {"N306", R"(N306: a rule that needs fans, for a parameter that has none

The rules of xavier and kaiming scale by fan-in and fan-out, the numbers of inputs and outputs of a weight. A parameter
of one dimension, such as a bias or batchnorm's weight, has none.

    init linear: bias = xavier_uniform;

Fix: give it a number, uniform(a, b) or normal(mean, std).
)"},
    {"N310", R"(N310: settings of `train` that contradict each other

Each setting is right by itself, but not beside the others: nesterov without a momentum, early_stop without validation,
a warm-up that is longer than the training, a lowest rate above the learning rate, a crop that could miss the image, a
validation that leaves nothing to train on.

    train { epochs = 10; early_stop = 3; }

Fix: change one of them, as the help says: validation = 0.1 gives early_stop a loss to watch.
)"},
    {"N320", R"(N320: a line of a tiles file that cannot be read

A tiles file begins with `netc tiles`, the version and an instruction set. Each line behind it names a kernel (its
operator, the shapes of what it reads and writes, its attributes) and, behind a colon, choices of its schedule.

    netc tiles 1 avx512
    linear [N,400] [120,400] [120] -> [N,120] bias=true features=120 : vectors=4 images=7   # a comment

Fix: write the line in this form, or let `netc tune` write it.
)"},
    {"N321", R"(N321: a tiles file of another version

The choices of schedules mean something else in another version of netc.

    netc tiles 2 avx512

Fix: let this netc write the file anew: netc tune MODEL -o FILE.
)"},
    {"N322", R"(N322: a choice that a kernel does not have

A line of a tiles file chooses something that the schedule of its kernel does not let choose, or a value that it does
not take: another netc wrote it, or a person mistyped it.

    linear [N,400] [120,400] [120] -> [N,120] bias=true features=120 : vectors=99

Fix: choose one of what the help lists, remove the line, or let `netc tune` write it.
)"},

    {"N311", R"(N311: it does not fit the memory

Even if the backward pass computes again all that it can, a batch needs more than --max-memory gives: what layers read and
write at once, parameters, their gradients, the optimizer's state. The place is the layer at which most is needed.

    netc summary model.net --max-memory 64M

Fix: take a smaller batch (--batch, or `batch` of `train`), an optimizer with less state, or smaller layers; or allow more
memory.
)"},

    // ---- W4xx: warnings ---------------------------------------------------------------------------------------------
    {"W401", R"(W401: the stride drops pixels at the edge

The last pixels of a row or column are in no window, because the stride does not divide what is left.

    input image: f32[N, 1, 28, 28];
    conv(8, 5, stride = 4);           // the last 3 rows and columns are never read

Fix: add padding or change the kernel, if the pixels matter.
)"},
    {"W402", R"(W402: unused

A `let`, a parameter, a block, a label's value or a shared layer is never used.

    let width = 64;
    conv(32, 3);

Fix: use it or remove it.
)"},
    {"W403", R"(W403: a bias before batchnorm

batchnorm subtracts the mean, so a bias right before it changes nothing, but costs memory and time.

    conv(64, 3) -> batchnorm;

Fix: write `conv(64, 3, bias = false) -> batchnorm`.
)"},
    {"W404", R"(W404: a path that had to be numbered

Two parameters of repeats or blocks would have one path, so the later is numbered. Numbered paths change when a layer
is inserted above, and weights saved before no longer load.

    residual(64);
    residual(64);                     // conv3.weight, conv4.weight

Fix: label the statements: `first: residual(64); second: residual(64);`.
)"},
    {"W405", R"(W405: an `init` for an operator that the model lacks

The rule is right, but no layer of this operator has parameters here.

    init conv, linear: weight = xavier_uniform;     // the model has no linear

Fix: remove the operator from the list.
)"},
    {"W406", R"(W406: data of another size

The images of the data set have other extents than the model's input, so training on them will fail.

    input image: f32[N, 1, 96, 96];
    train { data = fashion_mnist; }         // [N,1,28,28]

Fix: write `data = fashion_mnist(resize = 96)`, or change the input.
)"},
};

}  // namespace

std::string_view explanation(std::string_view code) {
  const auto found = std::find_if(std::begin(explanations), std::end(explanations),
                                  [&](const Explanation& entry) { return entry.code == code; });
  return found == std::end(explanations) ? std::string_view{} : found->text;
}

}  // namespace netc
