/* genai.h - v0.1.0 - generative image models in one C file - public domain or MIT, see the end of the file

   Trains a GAN, a VAE or a VAE-GAN on your own images, on the CPU, and makes new images with it: samples,
   reconstructions, the way from one image to another. C99 or C++11; needs the C library only, and for PNG and JPEG
   stb_image.h and stb_image_write.h (github.com/nothings/stb, Debian: libstb-dev).

   In exactly one source file:

      #define GENAI_IMPLEMENTATION
      #include "genai.h"

   and in all others just the #include. No flags are needed:

      cc -O2 hello.c -o hello -lm

   finds AVX-512, AVX2 or NEON when it runs, and uses all cores. All of hello.c:

      #define STB_IMAGE_IMPLEMENTATION              // before genai.h: reads PNG, JPEG, BMP
      #include <stb/stb_image.h>
      #define STB_IMAGE_WRITE_IMPLEMENTATION        // and writes PNG
      #include <stb/stb_image_write.h>
      #define GENAI_IMPLEMENTATION
      #include "genai.h"

      int main(int argc, char **argv) {
          genai_ctx     *g     = genai_ctx_create(&(genai_ctx_desc){ .seed = 7 });
          genai_dataset *data  = argc > 1 ? genai_dataset_open(g, argv[1], NULL)      // IDX, CIFAR-10, folder of images
                                          : genai_dataset_sprites(g, 4096, &(genai_dataset_desc){ .width = 16 }); // built in
          genai_model   *model = genai_model_create(g, &(genai_model_desc){ .preset = "vaegan", .data = data });
          genai_model_fit(model, data, &(genai_fit_desc){ .epochs = 10, .on_step = genai_progress_bar });
          genai_model_sample_grid(model, "samples.png", 8, 8);
          genai_model_save(model, "sprites.safetensors");
          int failed = genai_ctx_report(g);             // prints the first error, if any
          genai_ctx_destroy(g);                         // frees everything made from it
          return failed;
      }

   genai.h DOES NOT
   - use a GPU, other processes or the network;
   - make large pictures: it is built for 8 to 128 pixels a side;
   - understand text: conditional models know classes, by their numbers;
   - abort, exit, print to stdout, change the locale or keep global state: it is a guest in your process;
   - start threads on Windows yet (genai_ctx_desc.parallel_for works there); MSVC is untested.

   CONTENTS, in the order of the file; search for the tag
      >>manual         shapes, ownership, errors, same bits, the families, network texts, files, loops of your own
      >>config         what you may define before the #include
      >>types          results, descs, tensors
      >>api            every function with its contract; who only uses the library can stop there
      >>platform       compiler, processor, system; the context
      >>errors         the first error and its sentence
      >>memory         allocation, checked sizes, text, numbers without the locale
      >>random         values that depend on where they are used
      >>threads        the pool
      >>cpu            which instruction sets there are
      >>kernels        the table of what an instruction set does; random arrays
      >>context        made and freed
      >>gemm           the one matrix product
      >>conv           convolutions as packers for it
      >>tensor         shapes, the arena of temporaries
      >>tape           recording and differentiating
      >>ops            one block for each op
      >>optim          SGD, RMSprop, Adam, AdamW, schedules
      >>layers         one row for each layer
      >>net            the network language, initial weights
      >>files          the I/O table, safe writing, safetensors
      >>image          PNG and friends, resizing, grids
      >>data           IDX, CIFAR-10, folders, sprites, batches
      >>families       what all model families share
      >>gan            generative adversarial networks
      >>vae            variational autoencoders
      >>vaegan         both in one
      >>aae            adversarial autoencoders
      >>vqvae          vector quantisation
      >>translate      images into images, with aligned pairs or without
      >>rbm            restricted Boltzmann machines, their log Z
      >>dbn            stacks of them: deep belief nets
      >>models         presets; create, step, sample, encode, save, load
      >>edit           walks through latents, inpainting, denoising, anomalies
      >>fit            the training loop
      >>metrics        measures
      >>kernel_bodies  all kernels, compiled once for each instruction set
*/

/* ====================================================================================================================
 * >>manual (public)
 * Read FIRST STEPS and ERRORS; look up the rest when it is needed. The contract of each function stands in its room.
 *
 * FIRST STEPS
 *   Five kinds of object, each made by a function that ends in _create, _open or _load:
 *     genai_ctx        owns memory, threads, random numbers and the first error; everything is made from one
 *     genai_dataset    images (a folder, MNIST, CIFAR-10, memory, built-in sprites), resized and shuffled
 *     genai_model      nets and optimisers of one family, made from a preset
 *     genai_net        one network made from text           } for loops of your own: models
 *     genai_optimizer  the update rule of some nets         } have theirs inside
 *   Settings go into a genai_..._desc whose zero fields mean defaults:
 *     genai_model_create(g, &(genai_model_desc){ .preset = "vae", .data = data, .latent = 32, .beta = 4 });
 *   In C++11: genai_model_desc d = {}; d.preset = "vae"; d.data = data; ...
 *   genai_model_resolved and genai_model_describe tell what the defaults were.
 *
 * SHAPES
 *   N images in a batch, H height, W width, C channels, K kernel size, D features, Z latent size. Dims are in reading
 *   order, the last one runs fastest: images [N,H,W,C], dense weights [in,out], convolution weights [K,K,in,out].
 *   Pixels are floats in [0,1] wherever you see them; a net that ends with tanh gets its [-1,1] inside the model. With
 *   alpha, C is 2 or 4, and the colours are not multiplied by it.
 *
 * OWNERSHIP
 *   The context owns all; genai_ctx_destroy frees all. The ..._destroy of one object frees it earlier. A test set belongs
 *   to its data set. Descs, paths, texts and images are copied or only read during the call; nobody keeps your pointers,
 *   except the callbacks and tables in genai_ctx_desc. Every allocation goes through genai_ctx_desc.allocator; training
 *   steps and samples allocate nothing after the first one of their size.
 *
 * TENSORS AND THE TAPE
 *   Ops take tensors and give a new tensor, which lives on the tape of the context until genai_tape_release. If an input
 *   requires a gradient, the op is recorded; genai_backward(loss) walks back over the record and adds d loss / d leaf to
 *   leaf->grad. Leaves are what genai_tensor_create made, with requires_grad set, and the parameters of nets.
 *     - Release the tape after each step: genai_tape_release(g, 0). Its memory is kept and used again.
 *     - genai_recording(g, 0) switches recording off: for sampling.
 *     - genai_net_trainable(net, 0) makes the net's parameters constants, yet gradients pass through it: how a generator
 *       learns from a discriminator that stands still. genai_detach stops the gradient instead.
 *     - genai_grad gives gradients as tensors, which with create_graph can be differentiated again: gradient penalties.
 *   tensor->data is yours to read and write; read results before the tape is released. Until then all that your ops and nets
 *   gave you holds, and can be differentiated again. What you never see goes earlier and makes room: gradients on their way
 *   back, what layers inside a net pass on. So a loop's memory is that of its forward results. genai_model_step gives
 *   those back too while it goes through them the last time.
 *
 * ERRORS
 *   Nothing aborts. A function that fails returns a negative genai_result, or NULL; the context keeps the first error as a
 *   code and one sentence (genai_ctx_result, genai_ctx_error), which goes to genai_ctx_desc.log, or to stderr if there is
 *   none. NULL passes through: a function that is given NULL returns NULL or an error and says nothing new. So a program
 *   may check once, at the end, by genai_ctx_report. After genai_ctx_clear the context can be used as before; until then
 *   further errors are returned but not told, so a program that goes on after an error must clear it.
 *   A file that fails to load has loaded nothing; a save that fails leaves the old file whole. An update whose loss or
 *   gradient isn't finite is left out with all that would follow in its step, which is counted (genai_losses.skipped, genai_progress.skipped).
 *
 * THREADS
 *   A context, and all that is made from it, is for one thread at a time. Two contexts share nothing. Inside, the work is
 *   split over genai_ctx_desc.threads threads of its own pool, or handed to your job system through parallel_for, which
 *   calls task(arg, i) once for each i of 0..n-1, on any threads, and returns when all are done.
 *
 * SAME SEED, SAME BITS
 *   Equal seed, settings and data give equal parameters, samples and files, bit for bit: for any number of threads, on the
 *   scalar, AVX2, AVX-512 and NEON kernels, with gcc and clang, at any -O, and after training was stopped and resumed.
 *   How: each sum has one order, fused multiply-adds are written and never left to the compiler, exp, log and the like are
 *   our own, a random number depends on the seed and on where it is used, and denormals count as zero throughout (the
 *   floating-point mode is set on entry and put back on return).
 *   Not covered:
 *     - training bounded by minutes: the number of steps is then the machine's;
 *     - one rounding at the edge of the denormals: a result within half a unit below 2^-126 becomes 2^-126 on x86, zero
 *       on Arm;
 *     - builds whose floating-point mode we don't set (other processors, other compilers than gcc and
 *       clang), if denormals occur; 32-bit x86, whose x87 rounds in its own way; -ffast-math with clang, whose own headers then round otherwise;
 *     - JPEG files: the decoder of your stb_image.h may differ from another's;
 *     - seconds, rates and estimates in callbacks and metrics.csv.
 *
 * STEP BY STEP: ANY MODEL
 *   1. genai_dataset_open(g, "folder", NULL), or with a desc that says a size: small images train faster by far, since
 *      the time grows with the number of pixels. For pixel art take .filter = GENAI_FILTER_NEAREST.
 *   2. genai_model_create with a preset ("gan", "vae" and "vaegan" fit any size) and .data = data.
 *   3. genai_model_fit. With .out = "run" it leaves samples, metrics.csv, model.safetensors and checkpoint.safetensors
 *      there. To go on later: genai_model_load(g, "run/checkpoint.safetensors") in a context of the same seed, then fit
 *      with more epochs or steps (both count from the model's beginning, minutes from the call).
 *   4. genai_model_sample, or encode, change and decode; genai_model_save. A saved model needs its file only:
 *      genai_model_load(g, "model.safetensors") and genai_model_sample.
 *
 * GAN (Goodfellow et al. 2014)
 *   A generator makes images from Z normal numbers; a discriminator learns to tell them from real ones; the generator
 *   learns to be taken for real. Losses: "discriminator", 2 log 2 = 1.39 when it can't tell; "generator", log 2 = 0.69
 *   then. Neither says how good the images are: look at them. A discriminator that is always right ("D right 100 %" in the
 *   progress line), its loss near 0 for long, has won and the generator learns little: lower lr_discriminator, or give more
 *   data. All samples alike ("diversity" near 0; 1 is that of the data): the generator has collapsed; begin again with another
 *   seed or a lower lr. fit warns of both, once (genai_health). Samples come from an average of the weights over the last
 *   ninth of the steps (at most some 10000, ema 0.9999), which is better than any of them. A GAN can't encode.
 *   Other losses: "wasserstein" with penalty 10, critic_steps 5, beta1 GENAI_ZERO is WGAN-GP; "hinge" with spectral_norm is
 *   SN-GAN; "relativistic" with r1 keeps both sides in play for long. What they report is the adversarial part alone: for
 *   "wasserstein" minus "discriminator" estimates the distance, which does say how good the images are. Against a
 *   discriminator that wins: r1 or penalty, which keep its slope small, smoothing, noise, dropout; against one that learns
 *   few images by heart: augment; against samples all alike: minibatch_stddev, feature_matching. All go together.
 *
 * VAE (Kingma and Welling 2014)
 *   An encoder gives for each image a normal distribution over Z latents, a decoder the image back. Losses:
 *   "reconstruction" and "kl", both sums over the image in the mean of the batch; with likelihood "bernoulli" in nats, so
 *   that their sum bounds -log p(x). "test -ELBO" is that sum on the test set, lower is better. "12/20 latents" in the progress
 *   line: so many are active, the others say nothing about the image, as is usual with large Z. None, and kl near 0: the decoder
 *   ignores them, of which fit warns; lower beta, or let it rise over beta_warmup steps. Reconstructions good but samples bad: raise beta. Images
 *   are smooth rather than sharp. beta GENAI_ZERO makes a plain autoencoder, which samples badly and reconstructs best.
 *   likelihood: genai_model_desc lists them. Only "bernoulli" and the Gaussian ones are probabilities, of which genai_model_nll
 *   estimates -log p(x); their numbers can't be compared, nor can those of grey images with those of binarised ones (binarise),
 *   which is why each measure has its own name; genai_model_likelihood measures any decoder on one scale, a GAN's too. A latent that
 *   is never used comes back with free_bits (0.1, say); importance tightens the bound and costs so many times the decoder. Samples
 *   sharper than the prior's, of any autoencoder: sampler "mixture", preset "ae" (Ghosh et al. 2020), or genai_model_fit_sampler
 *   on a trained model. Two other ways to latents that follow the prior: preset "wae", loss "mmd" falling to 0; and
 *
 * AAE (Makhzani et al. 2016)
 *   An autoencoder with a discriminator on its latents. Losses: "reconstruction"; "discriminator" and "generator" as of a GAN, 1.39
 *   and 0.69 when latents can't be told from the prior's. A discriminator loss near 0 for long: the latents aren't the
 *   prior's, samples will be bad; lower lr_discriminator, or set r1 to 1.
 *
 * VQ-VAE (van den Oord et al. 2017)
 *   Images become grids of codes, numbers of vectors in a codebook; encode gives these vectors, so Z is the grid's cells times
 *   code_size. Losses: "reconstruction"; "commitment", how far the encoder's vectors are from their codes; "prior", nats an image
 *   that the net which draws codes needs for the grid; "perplexity", how many codes are in use, as it were: near 1, training
 *   has failed, of which fit warns. Reconstructions good but samples torn: train longer for the prior, or give it more by the text prior, or
 *   take fewer cells by a deeper encoder.
 *
 * VAE-GAN (Larsen et al. 2016)
 *   A VAE whose decoder is a GAN's generator too. Who learns from what: the encoder from beta kl + reconstruction, the
 *   decoder from gamma reconstruction + being taken for real, the discriminator from telling real from reconstructed and
 *   sampled. With likelihood "features" reconstruction is measured in the discriminator's features as well as in pixels. A
 *   larger gamma keeps nearer to the originals, a smaller one looks sharper and noisier. Losses: as above; "discriminator" is
 *   3 log 2 = 2.08 and "generator" 2 log 2 = 1.39 at a draw. vae_steps begins with so many steps of plain VAE training. Samples come
 *   from a mixture over the latents of images, which genai_model_fit fits at its end; until then, and with sampler "prior", from the prior: they look worse.
 *
 * RBM (Smolensky 1986, Hinton 2002) AND DBN (Hinton, Osindero and Teh 2006)
 *   A restricted Boltzmann machine gives each black and white image (likelihood "gaussian": each image) an energy, by Z hidden units that are
 *   0 or 1. It has a likelihood but for a constant, log Z, which genai_model_log_partition knows or estimates; genai_model_nll adds it.
 *   encode gives the hidden units' probabilities, samples come from `gibbs` sweeps, inpaint draws what the mask hides. Losses: "free_energy" of
 *   the data, which says nothing alone, and "gap", that less the chains': it stays near 0; if it falls and falls, the chains don't follow
 *   (lower lr, raise cd_steps or persistent), or few images are learned by heart. A deep belief net is a stack of them: give `layers`, and
 *   layer_steps each; training beyond that tunes all together. Its nll is a bound. genai_model_classifier makes a classifier of it.
 *
 * CLASSES
 *   Data with labels (folders in a folder, IDX, CIFAR-10) make conditional models: .condition = "concat" for most families; for
 *   a GAN "projection" or "auxiliary" too. Functions that take images or latents then want a label for each; samples take
 *   the classes in turn where none are given.
 *
 * IMAGES INTO IMAGES
 *   Preset "translate" (Isola et al. 2017) learns from aligned pairs what image to make of an image: colours from outlines, large
 *   from small. Losses: "discriminator" and "generator" as of a GAN; "error", the mean absolute error to the target, which
 *   gamma weighs: lower it for sharper, higher for truer images. Preset "cycle" (Zhu et al. 2017) learns from two sets that
 *   are not paired, both ways; "error" is that of images that went there and back. Colours that drift: set identity to 5.
 *   Data come from genai_dataset_pairs, images from genai_model_translate.
 *
 * WITH A TRAINED MODEL
 *   genai_model_interpolate walks from one image to another, genai_model_traverse along one latent, genai_model_direction finds
 *   the way from class to class (add it to latents). genai_model_inpaint fills what a mask hides, genai_model_denoise gives the
 *   image that the model believes in, genai_model_anomaly says how badly it knows an image: all by genai_model_refine, a search
 *   for latents, which takes a second for some dozen small images and works with every family that has latents.
 *
 * HOW GOOD ARE THE IMAGES
 *   Losses of different families can't be compared, so a judge looks at the images: genai_judge_create trains a small
 *   classifier on real, labelled images, genai_judge_features turns any images into its features, genai_measure compares two
 *   sets of these. Compare made images with real ones that training didn't see (a test part, or desc.holdout), and for the
 *   floor real ones of the training part with the same. Frechet and kernel distance say how far off the whole set is,
 *   precision and density whether images look real, recall and coverage whether all kinds occur. 2,000 images are enough
 *   to tell models apart; the Frechet distance falls with their number, so take equal ones. genai_nearest with pixels shows
 *   copies: samples much nearer to training images than unseen images are. `genai measure` does all this; `genai compare` does it, and more, for many.
 *
 * NETWORK TEXTS
 *   Layers from input to output, joined by |. The text of a model may say $H $W $C $D $Z $K for the image's height, width,
 *   channels, their product, the latent size, and the number of classes. Generators and decoders take Z values and give an image (or $D values),
 *   discriminators take an image and give one logit, encoders give $Z values for a plain autoencoder, else 2*$Z.
 *     dense N [nobias] [sn] [init I]                   flattens what it gets
 *     conv  N [kK] [sS] [same|valid|pP] [nobias] [sn] [init I]         k3 s1 same; N channels out
 *     convt N [kK] [sS] [same|valid|pP] [oO] [nobias] [sn] [init I]    transposed: same gives S times the size, else
 *                                                      (size-1)*S - 2*P + K + O
 *     batchnorm [momentum M] [eps E]                   momentum 0.9, what stays of the running statistics; eps 1e-5
 *     layernorm [eps E]   instancenorm [eps E]   groupnorm GROUPS [eps E]
 *     relu   lrelu SLOPE   elu [ALPHA]   gelu   silu   tanh   sigmoid   softplus   softmax   logsoftmax
 *     dropout PROBABILITY                              in training only
 *     flatten   reshape HxWxC   reshape D
 *     upsample FACTOR                                  nearest
 *     avgpool K [sS]   maxpool K [sS]                  stride K
 *     globalavgpool   globalmaxpool                    [H,W,C] to [C]
 *     crop HxW                                         the middle
 *     pad P                                            zeros around
 *     keep NAME                                        remembers what is here under a name (letters and digits)
 *     add NAME   concat NAME   swap NAME               adds it; puts its channels behind; goes on with it and keeps what was here
 *     attention [sn]                                   looks from each place at all others (Zhang et al. 2019); H*W*H*W values an image
 *     stddev [momentum M]                              one channel more: how much the images of a group differ (Karras et al. 2018)
 *     label [N] [sn]                                   the class as more channels: a 1 among zeros, or N learned values
 *     cbatchnorm [momentum M] [eps E]                  batch norm with each class's own gamma and beta (Dumoulin et al. 2017)
 *     project [nobias] [sn] [init I]                   to one logit, w h + b + e h with e of the class (Miyato and Koyama 2018)
 *   init: he, glorot, normal (0.02) or orthogonal; by itself he before relu, lrelu, elu, gelu and silu, glorot elsewhere.
 *   sn: spectral norm (Miyato et al. 2018), weights divided by their largest singular value; one step of its power iteration a
 *   GENAI_TRAIN pass. stddev: a group is 4 images, or the next larger number that divides N, or all where there are fewer; in
 *   GENAI_EVAL the channel holds the running mean, so that images don't depend on each other. What is kept may be taken several
 *   times; the same name may be kept again after that. A residual block, and the middle of a U-Net:
 *     "keep a | batchnorm | relu | upsample 2 | conv 64 | batchnorm | relu | conv 64 | swap a | upsample 2 | conv 64 k1 | add a"
 *     "conv 64 k4 s2 | keep a | lrelu 0.2 | conv 128 k4 s2 | batchnorm | relu | convt 64 k4 s2 | batchnorm | concat a"
 *   K, S, P and O may differ by direction, height first: k3x5. A number may be several, joined by * and / (without rest):
 *     "dense $H/4*$W/4*64 | reshape $H/4x$W/4x64 | convt 32 k4 s2 | relu | convt $C k4 s2 | tanh"
 *   A wrong text is refused before anything is allocated, with the column and the nearest valid word. `genai info MODEL`
 *   and genai_net_describe print the table of layers, shapes and parameters.
 *
 * FILES
 *   Models are safetensors files: F32 tensors named NET.LAYER.KIND.WHICH as in "generator.0.dense.weight" (weight, bias;
 *   gamma, beta, mean, var; embed; f, g, h, v, gate; level; weight_u and the like: sn's vector), those of averaged nets with
 *   "average." before; sampler.weight, .mean, .factor, if one was fitted; codes.vector, .count, .sum of a vqvae; units.mean, chains.hidden of rbm and dbn. Metadata, all text:
 *     genai.format, genai.version   of the file's form; of the library that wrote it
 *     genai.digest                  CRC-64 of the whole file with 0 for its own digits
 *     genai.family, genai.preset, genai.width, genai.generator, ...   every field of genai_model_desc, resolved
 *     genai.steps, genai.seed       trained so far; of the context
 *     genai.checkpoint, genai.epoch, genai.position, genai.skipped, genai.optimizer.NET.t   in checkpoints, which also
 *                                   hold the tensors optimizer.NET.m and .v
 *   Any safetensors reader can read them. A file that was changed by hand or by another program must have genai.digest
 *   set to "none": a file with genai keys and a digest that doesn't fit, or none at all, is refused as damaged.
 *   metrics.csv: one row for each of the first 100 steps, then for each 10th, from step 10000 for each 100th, and for those at
 *   which health was measured. Columns: step, epoch, seconds, the losses, images_per_s, skipped, measure (at ends of epochs), then
 *   of genai_health, which says what they are, those that the family has: balance, norm_NET for each optimiser, diversity,
 *   saturated, active, kl_latents (nats of each, largest first, with blanks between). Empty: not measured there.
 *   All reading and writing goes through genai_ctx_desc.io: give your own table to read from an archive.
 *
 * A LOOP OF YOUR OWN
 *   Nets, an optimiser and ops; examples/custom_loop.c is a whole VAE. One step of it:
 *     genai_random_at(g, 0, step);                          // draws depend on the step: a resumed run is the same
 *     genai_tensor *x    = genai_tensor_of(g, 4, dim, images);
 *     genai_tensor *loss = genai_bce_loss(genai_net_forward(net, x, GENAI_TRAIN), NULL, 1);
 *     genai_optimizer_zero(adam);
 *     genai_backward(loss);
 *     genai_optimizer_step(adam);
 *     genai_tape_release(g, 0);
 *   GENAI_TRAIN uses batch statistics and lets the running ones learn; a second pass of the same step through a net with
 *   batch norm takes GENAI_TRAIN_FROZEN; GENAI_EVAL is for use, fastest with genai_recording(g, 0).
 *
 * WHERE THE TIME GOES
 *   `genai bench train PRESET --profile` shows each op's share. In a program of yours genai_ctx_desc.trace is told when each
 *   piece of work begins and ends; read a clock there and add up by name, with a stack for the pieces that lie inside others.
 *
 * AN OP OF YOUR OWN
 *   Most are compositions: write a function that calls ops, and its gradient comes for nothing. The Huber loss, say, with
 *   d = |y - t| and c = min(d, 1): genai_mul(c, genai_sub(d, genai_scale(c, 0.5f, 0))). An op with code of its own is a
 *   block in >>ops (an elementwise one a row in >>kernels) and a prototype in >>api. docs/architecture.md walks through
 *   that, and through a new layer, family, loss, preset and instruction set.
 * ================================================================================================================= */

#ifndef GENAI_H
#define GENAI_H

/* ====================================================================================================================
 * >>config (public)
 * What a user may define before including this file. All are off by default; each is compiled and tested on its own.
 *
 *   GENAI_IMPLEMENTATION    in exactly one source file: the code, not just the declarations
 *   GENAI_STATIC            every function static: several files may hold their own private copy
 *   GENAI_API               how public functions are declared (say, a DLL export); excludes GENAI_STATIC
 *   GENAI_NO_STDIO          no file system and no stderr: files go through genai_ctx_desc.io, messages through .log
 *   GENAI_NO_THREADS        no thread is ever created (genai_ctx_desc.parallel_for still works)
 *   GENAI_NO_SIMD           the scalar kernels only
 *   GENAI_HEADER_FILENAME   the name under which this file includes itself, when it isn't called "genai.h"
 * ================================================================================================================= */
#include <stddef.h>
#include <stdint.h>

#define GENAI_VERSION_MAJOR 0
#define GENAI_VERSION_MINOR 1
#define GENAI_VERSION_PATCH 0
#define GENAI_VERSION "0.1.0"

#ifndef GENAI_API
#ifdef GENAI_STATIC
#if defined(__GNUC__)
#define GENAI_API static __attribute__((unused))
#else
#define GENAI_API static
#endif
#else
#define GENAI_API extern
#endif
#endif

#if defined(__GNUC__)
#define GENAI__PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define GENAI__PRINTF(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ====================================================================================================================
 * >>types (public)
 * Shape letters, used in every comment: N images in a batch, H height, W width, C channels, K kernel size, D features,
 * Z latent size. Images are [N,H,W,C], row-major, float; pixel values are in [0,1] wherever a caller sees them.
 * In every desc a zero field means the default that its comment names; where 0 itself is wanted and isn't the default,
 * write GENAI_ZERO.
 * ================================================================================================================= */
#define GENAI_ZERO (-1.0f)

/* Result codes: 0 is success, errors are negative. The context keeps the sentence (genai_ctx_error). */
#define GENAI_RESULTS(X)                                                                                               \
    X(OK, 0, "no error")                                                                                               \
    X(ERROR_ARGUMENT, -1, "an argument is out of range")                                                               \
    X(ERROR_SHAPE, -2, "shapes don't fit together")                                                                    \
    X(ERROR_MEMORY, -3, "memory could not be allocated")                                                               \
    X(ERROR_IO, -4, "a file could not be read or written")                                                             \
    X(ERROR_FORMAT, -5, "a file is damaged or of another format")                                                      \
    X(ERROR_SYNTAX, -6, "a network text or a setting is wrong")                                                        \
    X(ERROR_UNSUPPORTED, -7, "this model, machine or build can't do that")                                             \
    X(ERROR_NONFINITE, -8, "a loss, gradient or weight is infinite or not a number")                                   \
    X(ERROR_DATA, -9, "there are no usable images")

typedef enum genai_result {
#define GENAI__X(name, value, text) GENAI_##name = value,
    GENAI_RESULTS(GENAI__X)
#undef GENAI__X
    GENAI_STOPPED = 1 /* not an error: a callback asked to stop */
} genai_result;

typedef enum genai_isa { GENAI_ISA_BEST, GENAI_ISA_SCALAR, GENAI_ISA_AVX2, GENAI_ISA_AVX512, GENAI_ISA_NEON } genai_isa;
typedef enum genai_log_level { GENAI_LOG_ERROR, GENAI_LOG_WARNING, GENAI_LOG_INFO } genai_log_level;

typedef struct genai_ctx       genai_ctx;       /* allocator, threads, kernels, random key, first error; owns all below */
typedef struct genai_dataset   genai_dataset;   /* images, labels                                                       */
typedef struct genai_net       genai_net;       /* a network made from text, with its parameters                        */
typedef struct genai_optimizer genai_optimizer; /* update rule and its state over the parameters of some nets           */
typedef struct genai_model     genai_model;     /* a GAN, VAE, ... with its nets and optimisers                         */
typedef struct genai_judge     genai_judge;     /* a classifier whose features tell how good images are                */
struct genai__op;                               /* private: what made a tensor                                          */

/* Memory: alloc returns at least `bytes` bytes aligned as malloc does, or NULL; free takes what alloc gave. */
typedef struct genai_allocator {
    void *(*alloc)(void *user, size_t bytes);
    void (*free)(void *user, void *p);
    void *user;
} genai_allocator;

/* Files. All functions return 0 for success and another value for failure unless said otherwise; `file` is what open
 * returned. The default goes to the operating system; a game can read from its archive, a test can make any call fail. */
typedef struct genai_io {
    void *(*open)(void *user, const char *path, int write);                     /* NULL: failed; write truncates            */
    long (*read)(void *user, void *file, void *to, size_t bytes);               /* bytes read, 0 at the end, negative: failed */
    long (*write)(void *user, void *file, const void *from, size_t bytes);      /* bytes written (may be short), negative: failed */
    int (*append)(void *user, void *file);                                      /* moves to the end, without truncating before: open with write = 2 */
    int (*sync)(void *user, void *file);                                        /* to stable storage                        */
    int (*close)(void *user, void *file);
    int (*rename)(void *user, const char *from, const char *to);                /* replaces `to`, atomically                */
    int (*remove)(void *user, const char *path);
    int (*make_dir)(void *user, const char *path);                              /* 0 also if it is there already            */
    int (*list)(void *user, const char *path, void (*entry)(void *to, const char *name, int is_dir), void *to); /* 0; failed: path is no folder */
    void *user;
} genai_io;

/* A piece of work, as genai_ctx_desc.trace is told of it when it begins and when it has ended. Pieces nest like brackets:
 * the ops that compute a gradient lie inside the piece of the op whose gradient it is, the ops of a loss inside the loss.
 * So what a piece took, less the pieces directly in it, is its own time. */
typedef struct genai_work {
    const char *name;          /* an op ("conv2d"), a loss ("bce_loss"), an update ("adam"), "random", "average",
                                  "zero_gradients", "add_gradients"; a constant                                   */
    int         backward;      /* 1: not the op itself but its gradient                                           */
    int         ended;         /* 0: it begins; 1: it has ended, and the rest is known                            */
    double      flops;         /* nominal, two for a multiply-add, of the matrix products and convolutions in it, without
                                  those of the pieces in it; padding counts, savings of an algorithm don't        */
    double      bytes;         /* of its inputs and results, each counted once (twice: what it changes in place)  */
} genai_work;

typedef struct genai_ctx_desc {
    uint64_t        seed;      /* of everything random that has no seed of its own; 0 is a seed like any other    */
    int             threads;   /* 0: one per core; at most 256                                                    */
    genai_isa       isa;       /* 0: the best this processor has                                                  */
    genai_allocator allocator; /* 0: malloc and free                                                              */
    genai_io        io;        /* 0: the operating system's files                                                 */
    void (*log)(void *user, genai_log_level level, const char *text);                  /* 0: errors and warnings to stderr; may be
                                  called while denormals are flushed                                               */
    void *log_user;
    void (*parallel_for)(void *user, int n, void (*task)(void *arg, int index), void *arg); /* runs task(arg, 0..n-1), each once, on
                                  any threads, and returns when all are done; 0: own pool                         */
    void *parallel_user;
    void (*trace)(void *user, const genai_work *work); /* for profiles: called on the thread that uses the context, may be with
                                  denormals flushed; must not use the context; 0: nobody is told, which costs nothing */
    void *trace_user;
} genai_ctx_desc;

/* A dense float array of up to 4 dims in reading order. Made by ops (then it lives until the tape is released) or by genai_tensor_create (then until destroyed). */
typedef struct genai_tensor genai_tensor;
struct genai_tensor {
    float        *data;
    size_t        count;         /* product of dim[0..ndim-1]                                                   */
    int           ndim;          /* 0 (a scalar) to 4                                                           */
    int           dim[4];        /* unused ones are 1                                                           */
    int           requires_grad; /* set it on leaves; ops derive it                                             */
    genai_tensor *grad;          /* of leaves: what genai_backward has added up; NULL before the first          */
    genai_ctx    *ctx;
    const char   *name;          /* for messages; may be NULL                                                   */
    /* private */
    const struct genai__op *op;
    genai_tensor *in[3], *aux[2], *over, *pending, *next, *previous;
    void         *saved;
    struct genai__kept *kept;
    size_t        at;
    int           i[8], held;
    float         f[3];
    unsigned      flags;
};

typedef enum genai_mode {
    GENAI_EVAL,         /* running statistics, no dropout                                                       */
    GENAI_TRAIN,        /* batch statistics, dropout, and the running statistics learn                          */
    GENAI_TRAIN_FROZEN  /* as TRAIN, but the running statistics stay as they are (further passes of one step)   */
} genai_mode;

typedef enum genai_init { GENAI_INIT_DEFAULT, GENAI_INIT_HE, GENAI_INIT_GLOROT, GENAI_INIT_NORMAL, GENAI_INIT_ORTHOGONAL } genai_init;

typedef struct genai_net_desc {
    const char *text;      /* the layers: "dense 128 | relu | dense 10"                                              */
    const char *name;      /* prefix of parameter names in files; 0: "net"                                           */
    int         ndim;      /* dims of one input without N: 1 for [D], 3 for [H,W,C]                                  */
    int         dim[3];
    genai_init  init;      /* of layers whose text names none; 0: He for layers before relu, lrelu, elu, gelu, silu, else Glorot */
    uint32_t    stream;    /* random stream of the initial weights; 0: derived from name                             */
    int         classes;   /* labels are 0..classes-1; 0: no labels                                                  */
    int         spectral_norm; /* 1: every layer that takes `sn` has it; 0: those whose text says so                 */
} genai_net_desc;

typedef enum genai_rule { GENAI_RULE_DEFAULT, GENAI_RULE_ADAM, GENAI_RULE_ADAMW, GENAI_RULE_SGD, GENAI_RULE_RMSPROP } genai_rule;
typedef enum genai_schedule {
    GENAI_SCHEDULE_DEFAULT, GENAI_SCHEDULE_CONSTANT, GENAI_SCHEDULE_LINEAR, GENAI_SCHEDULE_COSINE, GENAI_SCHEDULE_EXPONENTIAL, GENAI_SCHEDULE_INVERSE
} genai_schedule;

typedef struct genai_optimizer_desc {
    genai_rule     rule;         /* 0: Adam                                                                          */
    float          lr;           /* learning rate; 0: 0.001 (SGD 0.01)                                               */
    float          beta1;        /* Adam: decay of the first moment; 0: 0.9, GENAI_ZERO for none                     */
    float          beta2;        /* Adam: of the second moment; 0: 0.999; RMSprop: of the mean square; 0: 0.99       */
    float          eps;          /* outside the root; 0: 1e-8                                                        */
    float          momentum;     /* SGD, RMSprop; 0: none                                                            */
    int            nesterov;     /* SGD: 1 looks ahead (Sutskever et al. 2013); 0: no                                */
    float          weight_decay; /* AdamW: decoupled (Loshchilov and Hutter 2019); others: added to the gradient; 0: none */
    float          clip_norm;    /* gradients of all groups together are scaled down to this L2 norm; 0: none        */
    float          clip_value;   /* each gradient element is clamped to +-this; 0: none                              */
    genai_schedule schedule;     /* DEFAULT: constant                                                                */
    int            warmup;       /* steps of linear rise from 0 to lr before the schedule; 0: none                   */
    int            steps;        /* length of the schedule: LINEAR and COSINE end there at lr * final; EXPONENTIAL
                                    multiplies by `final` every so many steps; INVERSE is at lr / 2 there, lr / 3 after
                                    as many again: good for any length (Robbins and Monro 1951); 0: constant         */
    float          final;        /* 0: LINEAR and COSINE end at 0; EXPONENTIAL 0.5                                   */
} genai_optimizer_desc;

typedef enum genai_filter { GENAI_FILTER_SMOOTH, GENAI_FILTER_NEAREST } genai_filter;

typedef struct genai_dataset_desc {
    int          width, height; /* every image is resized to this; 0: the size most images have                      */
    int          channels;      /* 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA (dropped alpha: on black); 0: the least that loses nothing */
    genai_filter filter;        /* 0: area average to shrink, bilinear to enlarge; NEAREST for pixel art             */
    int          flip;          /* 1: batches are mirrored left to right at random; 0: never                         */
    float        holdout;       /* share of the images set aside as test set, the same ones for any seed, where the files hold none; 0: none */
    size_t       limit;         /* use at most so many images (of a folder: spread evenly over it); 0: all              */
    int          test;          /* 1: of an IDX folder or CIFAR-10 open the test part; 0: the training part, with the test part behind genai_dataset_test */
} genai_dataset_desc;

typedef struct genai_dataset_info {
    size_t count;              /* images                                                                             */
    int    width, height, channels;
    int    classes;            /* 0: no labels                                                                       */
    size_t skipped;            /* files that could not be read                                                       */
    int    endless;            /* 1: generated; any index is an image                                                */
    int    pairs;              /* 1: of genai_dataset_pairs: batches have a target beside each image                 */
} genai_dataset_info;

/* Model: every 0 is the preset's own value; a value that is set overrides it. Texts are copied. */
typedef struct genai_model_desc {
    const char    *preset;        /* genai_preset_at lists them; 0: "gan"                                              */
    genai_dataset *data;          /* gives width, height, channels; not kept                                           */
    int            width, height, channels; /* 0: those of data; else of the preset; else 32x32x3                      */
    int            latent;        /* Z                                                                                 */
    const char    *generator, *discriminator, *encoder, *decoder, *prior; /* network texts; $H $W $C $D $Z $K stand for the image's height,
                                     width, channels, their product, the latent size, and the number of classes       */
    const char    *condition;     /* how labels are used: "none"; "concat" (Mirza and Osindero 2014): each net but an aae's discriminator gets the class beside
                                     its input; "projection" (Miyato and Koyama 2018) and "auxiliary" (Odena et al. 2017): gan only;
                                     0: none, or concat if classes is set                                              */
    int            classes;       /* of labels 0..classes-1; 0: those of data, if condition is set                     */
    const char    *loss;          /* "nonsaturating", "minimax" (Goodfellow et al. 2014), "lsgan" (Mao et al. 2017, with halves), "hinge"
                                     (Lim and Ye 2017), "wasserstein" (Arjovsky et al. 2017: needs penalty, clip or spectral_norm),
                                     gan only: "relativistic" (average; Jolicoeur-Martineau 2019)                      */
    /* What steadies a discriminator D; any of them together. 0: not used. */
    float          smoothing;     /* D's target for real images is 1 - smoothing (Salimans et al. 2016); not for lsgan, hinge, wasserstein */
    float          r1;            /* + r1/2 E |dD/dx|^2 on real images (Mescheder et al. 2018), in every r1_every-th step with so many
                                     times the weight (Karras et al. 2020); D's logit, x as D sees it, after augment and noise;
                                     0: none, but 2 for presets gan and vaegan if neither discriminator, loss,
                                     penalty, clip nor spectral_norm is set; GENAI_ZERO: none                                   */
    int            r1_every;      /* 0: 16 if r1 is set                                                                */
    float          penalty;       /* WGAN-GP (Gulrajani et al. 2017): + penalty E (|dD/dx| - 1)^2, the norm over all of an image, x between a
                                     real and a made one, as D sees them; neither it nor r1 goes with batch norm in D  */
    float          clip;          /* D's weights and biases are clamped to +-clip after its update; the scales of norms aren't */
    int            spectral_norm; /* 1: every layer of D that has weights divides them by their largest singular value (Miyato et al. 2018) */
    int            minibatch_stddev; /* 1: D's standard text gets a layer stddev (Karras et al. 2018)                     */
    float          dropout;       /* D's standard text gets dropout of this probability                                */
    const char    *augment;       /* gan: what D sees, real or made, is changed at random, and gradients go through it (DiffAugment, Zhao et
                                     al. 2020): any of "color" (brightness, saturation, contrast; alpha stays), "translation" (up to
                                     1/8), "cutout" (a half of each side), the last two with pixels 0 around; 0: "none" */
    float          noise;         /* gan: normal noise of this deviation on what D sees (Sonderby et al. 2017), in the nets' range ([-1,1]
                                     with tanh), falling to 0 in a line over noise_steps steps; noise_steps 0: it stays */
    int            noise_steps;
    int            critic_steps;  /* gan: G learns in every so manieth step, D in each; steps count D's; 0: 1          */
    float          feature_matching; /* gan: G's loss + this |E f(x) - E f(G(z))|^2, f what D's last part gets (Salimans et al. 2016) */
    const char    *likelihood;    /* of pixels given latents, summed over the image: "bernoulli" (the decoder gives logits), "gaussian" (standard
                                     deviation sigma), "gaussian_learned" (the decoder gives mean and log-variance: $D*2 values, or $C*2
                                     channels), both densities of pixels in [0,1]; "mse" (squared error), "l1" (absolute error), which are no
                                     densities, in the range of the nets; "features" (vaegan)                          */
    float          sigma;         /* of "gaussian"; 0: 0.1                                                             */
    int            binarise;      /* 1: black and white images: a training pixel is 1 with the probability that its grey says, drawn anew each
                                     time; in all other use, 1 above 0.5 (Salakhutdinov and Murray 2008); 0: no, of preset iwae 1 (GENAI_ZERO: no) */
    float          beta;          /* weight of the KL term (Higgins et al. 2017), or of what stands for it (vqvae: the commitment, 0.25 there);
                                     GENAI_ZERO: a plain autoencoder                                                   */
    int            beta_warmup;   /* steps over which beta rises linearly from 0                                       */
    const char    *divergence;    /* vae: "kl"; "mmd": a Wasserstein autoencoder (Tolstikhin et al. 2018), whose encoder gives $Z values; 0: kl */
    float          free_bits;     /* each latent's KL, in the mean of the batch, costs at least so many nats (Kingma et al. 2016); 0: none */
    int            importance;    /* vae: samples in the importance-weighted bound (Burda et al. 2016); 0: 1, the usual bound */
    float          gamma;         /* weight against the adversarial term in who makes the images. vaegan: of reconstruction; translate: of the
                                     mean absolute error to the target; cycle: of that of an image there and back      */
    float          identity;      /* cycle: weight of the mean absolute change to images that are of the wanted kind already; 0: none */
    int            vae_steps;     /* vaegan: so many steps of plain VAE training first                                 */
    float          margin;        /* vaegan: the discriminator rests while one of its losses is below 0.68 - margin, the decoder while one is
                                     above 0.68 + margin, none when both should (Larsen's code; 0.35 there), for losses of a probability; 0: never */
    int            codes, code_size; /* vqvae: vectors in the codebook, 0: 256; values of each, 0: 32. latent is code_size times the cells of
                                     the grid that the encoder gives, [h,w,code_size]                                  */
    const char    *sampler;       /* what genai_model_fit fits at its end for sampling, see genai_model_fit_sampler: "prior", "gaussian", "mixture";
                                     vae, vaegan, aae; 0: prior, but mixture for presets ae and vaegan                 */
    int            components;    /* of the mixture, fewer for few images or many latents; 0: 10, of preset vaegan 50  */
    const char    *layers;        /* dbn: the sizes of the hidden layers below the top one, whose size is latent: "500 500"; 0: the preset's */
    int            layer_steps;   /* dbn: steps of each layer, from the lowest up; until the last one learns, samples mean nothing; what comes then is up-down
                                     learning of all, with lr / 10; 0: 1000                                            */
    int            cd_steps;      /* rbm, dbn: sweeps of the chains in a step, the k of CD-k (Hinton 2002); 0: 1       */
    int            persistent;    /* chains that go on from step to step (PCD, Tieleman 2008); 0: the preset's batch; GENAI_ZERO: none, they begin at the data */
    int            centred;       /* gradients about the units' running means (Melchior et al. 2016); 0: 1; GENAI_ZERO: plain */
    float          momentum, weight_decay; /* rbm, dbn: of rules sgd and rmsprop; of weights, not of biases; 0: none   */
    float          sparsity, sparsity_cost; /* hidden biases are drawn to where a unit is on in this share of images (Lee et al. 2008), at a rate of
                                     the cost times its running distance; 0: none, 0.1                                 */
    int            gibbs;         /* sweeps before a sample; 0: 200                                                    */
    genai_rule     rule;
    float          lr;            /* learning rate                                                                     */
    float          lr_discriminator; /* 0: the same as lr, or the preset's                                             */
    float          beta1, beta2;
    float          clip_norm;
    genai_schedule schedule;      /* of the learning rates; DEFAULT: the preset's, INVERSE for gan and vaegan, else CONSTANT */
    int            schedule_steps; /* 0: 2000 for INVERSE; must be given for the others                                */
    int            warmup;
    float          ema;           /* decay of the averaged copy that samples are made from, less in the first t updates: (1+t)/(10+t);
                                     a gan's and a vaegan's have batch norm's statistics from passes of their own; GENAI_ZERO: none */
    genai_init     init;
} genai_model_desc;

typedef struct genai_refine_desc {
    const float *mask;         /* [H,W]: 1 where the images are known, 0 where not, between by trust; 0: all is known          */
    int          steps;        /* of Adam; 0: 200, -1: none                                                                     */
    float        lr;           /* 0: 0.05                                                                                       */
    float        noise;        /* standard deviation of a known pixel from its true value; 0: 0.1, with a mask 0.5: the less, the
                                  more of what is known is forced on a model that can't draw it exactly                         */
    int          starts;       /* samples among which the search begins, where there is no encoder; 0: 64 for a completion, 256 at least */
    int          completions;  /* of inpaint and denoise: the mean of so many (at most 64), from the nearest starts; 0: 1. One is
                                  sharp and one of many possible, their mean is nearest to the truth in squared error           */
    uint64_t     seed;         /* of the starts                                                                                 */
} genai_refine_desc;

typedef struct genai_partition_desc {
    int      runs, steps;      /* of annealed importance sampling (AIS): chains, 0: 100; temperatures, 0: 14500                 */
    int      burn;             /* sweeps before the reverse way; 0: 1000                                                        */
    int      estimate;         /* 1: AIS even where log Z can be added up                                                       */
    uint64_t seed;
} genai_partition_desc;

typedef struct genai_partition { /* each with 3 standard errors below and above (-1e300 + log Z: none below)                    */
    double log_z, low, high;   /* AIS from the base (Salakhutdinov and Murray 2008): too low, if anything                       */
    double reverse, reverse_low, reverse_high; /* from the model's chains back to the base (Burda et al. 2015): too high, if anything */
    int    exact;              /* 1: added up over all states of one side, which has 20 units or less; all six are log Z        */
} genai_partition;

typedef struct genai_likelihood_desc {
    float    noise;            /* standard deviation of a pixel around what the decoder paints, 0.001 to 1000; 0: 0.2          */
    int      runs, steps;      /* chains an image, 0: 16, at most 64; temperatures, 0: 1000, at least 20, at most 1000000       */
    int      leapfrogs;        /* steps of a transition, at most 1000; 0: 10                                                    */
    uint64_t seed;
} genai_likelihood_desc;

typedef struct genai_preset {
    const char *name, *family, *about;   /* about: one line                                                            */
    int         width, height, channels; /* 0: any                                                                     */
    int         batch;                   /* that it was tuned for                                                      */
} genai_preset;

#define GENAI_MAX_LOSSES 8
typedef struct genai_losses {  /* of one step                                                                          */
    int         count;
    const char *name[GENAI_MAX_LOSSES];
    float       value[GENAI_MAX_LOSSES];
    int         skipped;       /* 1: an update was left out because something in it was not finite                     */
} genai_losses;

/* What a training has been told once, in the log, with the usual cure. */
typedef enum genai_trouble {
    GENAI_TROUBLE_COLLAPSED = 1, /* samples, or translations, are nearly alike: families with a discriminator          */
    GENAI_TROUBLE_OVERRULED = 2, /* the discriminator is always right, its loss near 0; not told for wasserstein       */
    GENAI_TROUBLE_SATURATED = 4, /* nearly all values of the samples' pixels are 0 or 1, not so the data's             */
    GENAI_TROUBLE_IGNORED = 8    /* no latent says anything about the image; vqvae: one code stands for all            */
} genai_trouble;

#define GENAI_MAX_NORMS 4
typedef struct genai_health {  /* how a training fares; a number that doesn't apply, or isn't known, is negative       */
    float        balance;      /* share of the last step's images, real and made, that the discriminator told rightly, before its
                                  update: 0.5 by chance, 1 has won; by the logit's sign (lsgan: above 0.5); not for wasserstein */
    int          norms;        /* optimisers                                                                           */
    const char  *norm_name[GENAI_MAX_NORMS]; /* by the first net that each trains; "generator" of an aae is its encoder */
    float        norm[GENAI_MAX_NORMS];      /* L2 norm of the gradients of its last update, before clipping           */
    long         measured;     /* after so many steps of the model what follows was measured: at every 250th, with pictures, at the end */
    float        diversity;    /* variance of a pixel over 64 samples of seed 0 against that over up to 64 real images (of the test set,
                                  if there is one), both in the mean of all pixels: 1 as the data, 0 all alike; translate, cycle: over
                                  these images' translations against that over the targets                              */
    float        saturated;    /* share of the samples' pixel values within 1/255 of 0 or 1                            */
    int          latents, active; /* of a posterior; those whose mean has a variance above 0.01 over these real images (Burda et al. 2016) */
    const float *kl;           /* [latents], nats in the mean of these images, largest first; NULL: none; valid during the call */
    int          told;         /* genai_trouble bits: what this fit has warned of, each once                           */
} genai_health;

typedef struct genai_progress {
    genai_model        *model;
    const genai_losses *losses;
    long                step, steps;        /* done; to do in all, 0 if bounded by time only                           */
    long                epoch;              /* from 0                                                                  */
    long                skipped;            /* steps so far that were not finite                                       */
    double              seconds, eta;       /* since fit began; left, negative if unknown                              */
    double              images_per_s;
    const char         *measure;            /* at the end of an epoch with a test set: its name, else NULL             */
    double              value;              /* and value                                                               */
    int                 finished;           /* 1 in the last call                                                      */
    genai_health        health;
} genai_progress;

typedef struct genai_fit_desc { /* epochs and steps count from the model's beginning: a resumed training ends where it would have */
    long        epochs;           /* stop after so many passes over the data,                                          */
    long        steps;            /* or after so many steps,                                                           */
    double      minutes;          /* or after this time, whichever is first; all 0: 10 epochs                          */
    int         batch;            /* images a step; 0: the preset's                                                    */
    int (*on_step)(void *user, const genai_progress *progress); /* after each step; returning non-zero stops           */
    void       *user;
    genai_dataset *test;          /* measured after each epoch; 0: the data's own test set, if it has one              */
    const char *out;              /* folder for model, checkpoint, metrics.csv, samples/; made if missing; 0: no files */
    long        sample_every;     /* steps between sample grids; 0: at steps 1, 2, 5, 10, 20, 50, ... and the end      */
    long        checkpoint_every; /* steps between checkpoints; 0: every 60 seconds and at the end                     */
} genai_fit_desc;

typedef struct genai_judge_desc {
    int      features;     /* D, the values of the layer before the last; 0: 64                                        */
    long     steps;        /* of training, 64 images each; 0: 1500; -1: none: a fixed random network, the same for every seed and all
                              data of a size, which needs no labels and sees shapes rather than meanings               */
    uint32_t stream;       /* another number makes another judge from the same data; 0 is a number like any other      */
} genai_judge_desc;

typedef struct genai_judge_info {
    int    width, height, channels, classes, features;
    double accuracy;       /* share of the test set that it gets right; negative: the data had no test set             */
} genai_judge_info;

typedef struct genai_measure_desc { /* two sets of vectors of `dim` values: genai_judge_features makes them of images  */
    int          dim;
    int          real_count, made_count;
    const float *real, *made; /* [real_count,dim], [made_count,dim]                                                    */
    int          k;           /* neighbours that make the radii of precision and recall; 0: 3, at most 32              */
    int          k_density;   /* the same for density and coverage; 0: 5, at most 32                                   */
    int          cells;       /* of the histograms; 0: 50, but at most an eighth of the real vectors                   */
} genai_measure_desc;

typedef struct genai_measures {
    double frechet;           /* |mean - mean'|^2 + tr(S + S' - 2 (S S')^1/2); 0 is best                                */
    double precision, recall; /* share of made vectors among the real ones, and the other way round; 1 is best         */
    double density, coverage; /* made vectors around a real one, about 1 at best and no limit; share of the real ones
                                 that have a made one near; 1 is best                                                  */
    double kernel;            /* squared maximum mean discrepancy; about 0 is best, and may be negative                */
    double kl_gaussian;       /* KL(real || made) of the two normal distributions, nats; negative: a covariance isn't of full rank */
    double kl_nearest;        /* KL(real || made) by the distances to k-th neighbours, nats; may be negative, 0 if none can be used */
    double kl_histogram, js_histogram; /* KL(real || made) and Jensen-Shannon divergence, which is at most log 2, over cells, nats */
} genai_measures;

typedef struct genai_similarity { double mse, psnr, ssim, ms_ssim; } genai_similarity; /* psnr in dB, 100 at most          */

typedef struct genai_probe_desc { /* vectors, the latents of images say, and the classes of these images                  */
    int          dim, classes, train_count, test_count;
    const float *train, *test;                 /* [train_count,dim], [test_count,dim]                                  */
    const int   *train_labels, *test_labels;   /* 0..classes-1                                                         */
} genai_probe_desc;

typedef struct genai_probe_result { double accuracy, purity, nmi; } genai_probe_result; /* of test; 1 is best             */

/* ====================================================================================================================
 * >>api (public)
 * Conventions. Functions that can fail return a genai_result, or a pointer that is NULL on failure; the context keeps
 * the first error as a sentence. NULL objects and tensors pass through silently: check once, at the end. A context and
 * all that is made from it belong to one thread at a time; two contexts share nothing.
 * ================================================================================================================= */

/* --- context --- */

/* Makes a context. desc may be NULL. NULL on failure, with the reason in the log: no memory, threads out of range, an
 * instruction set that this processor or build lacks. */
GENAI_API genai_ctx  *genai_ctx_create(const genai_ctx_desc *desc);
/* Frees the context and everything made from it. NULL is ignored. */
GENAI_API void        genai_ctx_destroy(genai_ctx *ctx);
/* The first error since the last clear: its code, and its sentence ("" if none; valid until the next call). */
GENAI_API genai_result genai_ctx_result(const genai_ctx *ctx);
GENAI_API const char *genai_ctx_error(const genai_ctx *ctx);
GENAI_API void        genai_ctx_clear(genai_ctx *ctx);
/* For the end of main: 0 if all went well (and ctx isn't NULL), else 1; the sentence has been logged when it arose. */
GENAI_API int         genai_ctx_report(const genai_ctx *ctx);
GENAI_API genai_isa   genai_ctx_isa(const genai_ctx *ctx);
GENAI_API int         genai_ctx_threads(const genai_ctx *ctx);
GENAI_API const char *genai_version(void);
GENAI_API const char *genai_isa_name(genai_isa isa);           /* "scalar", "avx2", "avx512", "neon"; "best" for 0     */
GENAI_API const char *genai_result_text(genai_result result);  /* what the code means in general                       */

/* --- tensors and the tape --- */

/* A tensor of its own (zeros), for parameters and constants; lives until destroyed. Errors: more than 4 dims, a dim
 * below 1, too large, no memory. dim may be NULL if ndim is 0. */
GENAI_API genai_tensor *genai_tensor_create(genai_ctx *ctx, int ndim, const int *dim);
GENAI_API void          genai_tensor_destroy(genai_tensor *t);
/* A temporary copy of values on the tape (values NULL: zeros). Reading order; no gradient. */
GENAI_API genai_tensor *genai_tensor_of(genai_ctx *ctx, int ndim, const int *dim, const float *values);
GENAI_API genai_tensor *genai_scalar(genai_ctx *ctx, float value);
/* The value of a one-element tensor; 0 for NULL. */
GENAI_API float         genai_value(const genai_tensor *t);
/* Everything that ops made since `mark` is freed; a mark is what genai_tape_mark returned, 0 is the beginning. Marks are
 * released in the reverse order of their taking. */
GENAI_API size_t        genai_tape_mark(genai_ctx *ctx);
GENAI_API void          genai_tape_release(genai_ctx *ctx, size_t mark);
/* While off, ops compute but nothing is kept for gradients. Returns the former state. On at first. */
GENAI_API int           genai_recording(genai_ctx *ctx, int on);
/* Adds d loss / d leaf to leaf->grad for every leaf with requires_grad that loss depends on. loss has one element. If it
 * fails half-way, some of the sums may have been added. */
GENAI_API genai_result  genai_backward(genai_tensor *loss);
/* dx[i] = d (sum of y) / d x[i], as tensors on the tape; zeros where y doesn't depend on x[i]. x[i] are leaves or results
 * of ops that required gradients when y was made (else: ARGUMENT). With create_graph the gradients can be differentiated again (critics: dense, conv, activations, layer and
 * instance norm, reshape, sum, mean, sn, attention, stddev, label, project). Leaves' grad is not touched. */
GENAI_API genai_result  genai_grad(genai_tensor *y, int n, genai_tensor **x, genai_tensor **dx, int create_graph);
/* The same from a gradient dy of y's shape that came from elsewhere: dx[i] = d (sum of dy*y) / d x[i]. SHAPE: it has another. */
GENAI_API genai_result  genai_grad_from(genai_tensor *y, genai_tensor *dy, int n, genai_tensor **x, genai_tensor **dx, int create_graph);

/* --- elementwise ops: shapes broadcast as in NumPy --- */
GENAI_API genai_tensor *genai_add(genai_tensor *a, genai_tensor *b);
GENAI_API genai_tensor *genai_sub(genai_tensor *a, genai_tensor *b);
GENAI_API genai_tensor *genai_mul(genai_tensor *a, genai_tensor *b);
GENAI_API genai_tensor *genai_div(genai_tensor *a, genai_tensor *b);
GENAI_API genai_tensor *genai_min(genai_tensor *a, genai_tensor *b);          /* gradient to the smaller, ties to a      */
GENAI_API genai_tensor *genai_max(genai_tensor *a, genai_tensor *b);          /* gradient to the larger, ties to a       */
GENAI_API genai_tensor *genai_scale(genai_tensor *x, float scale, float shift); /* scale*x + shift                       */
GENAI_API genai_tensor *genai_neg(genai_tensor *x);
GENAI_API genai_tensor *genai_square(genai_tensor *x);
GENAI_API genai_tensor *genai_sqrt(genai_tensor *x);
GENAI_API genai_tensor *genai_exp(genai_tensor *x);
GENAI_API genai_tensor *genai_log(genai_tensor *x);
GENAI_API genai_tensor *genai_tanh(genai_tensor *x);
GENAI_API genai_tensor *genai_sigmoid(genai_tensor *x);                       /* 1/(1+exp(-x))                           */
GENAI_API genai_tensor *genai_softplus(genai_tensor *x);                      /* log(1+exp(x)), without overflow         */
GENAI_API genai_tensor *genai_relu(genai_tensor *x);
GENAI_API genai_tensor *genai_leaky_relu(genai_tensor *x, float slope);       /* x > 0 ? x : slope*x                     */
GENAI_API genai_tensor *genai_elu(genai_tensor *x, float alpha);              /* x > 0 ? x : alpha*(exp(x)-1)            */
GENAI_API genai_tensor *genai_gelu(genai_tensor *x);                          /* tanh form, Hendrycks and Gimpel 2016    */
GENAI_API genai_tensor *genai_silu(genai_tensor *x);                          /* x*sigmoid(x)                            */
GENAI_API genai_tensor *genai_abs(genai_tensor *x);
GENAI_API genai_tensor *genai_clamp(genai_tensor *x, float low, float high);  /* gradient 0 outside                      */

/* --- reductions and shapes: axes is a bit mask, bit i for dim i, 0 for all; reduced dims become 1 --- */
GENAI_API genai_tensor *genai_sum(genai_tensor *x, unsigned axes);
GENAI_API genai_tensor *genai_mean(genai_tensor *x, unsigned axes);
GENAI_API genai_tensor *genai_reshape(genai_tensor *x, int ndim, const int *dim); /* one dim may be -1: what is left     */
GENAI_API genai_tensor *genai_transpose(genai_tensor *x, const int *order);       /* y.dim[i] = x.dim[order[i]]          */
GENAI_API genai_tensor *genai_concat(genai_tensor *a, genai_tensor *b, int axis);
GENAI_API genai_tensor *genai_slice(genai_tensor *x, int axis, int from, int count);
GENAI_API genai_tensor *genai_pad(genai_tensor *x, int axis, int before, int after); /* with zeros                      */
GENAI_API genai_tensor *genai_detach(genai_tensor *x);                            /* the same memory, no gradient        */

/* --- linear ops --- */
/* C = A' B' with A' = A or its transpose. A [..,M,K], B [..,K,N]; leading dims equal, or B has 2 dims and serves all. */
GENAI_API genai_tensor *genai_matmul(genai_tensor *a, genai_tensor *b, int transpose_a, int transpose_b);
/* x [N,D] w [D,M] bias [M] or NULL: x w + bias. */
GENAI_API genai_tensor *genai_dense(genai_tensor *x, genai_tensor *w, genai_tensor *bias);

#define GENAI_SAME (-1)
typedef struct genai_conv_desc {
    int stride_h, stride_w;  /* 0: 1                                                                                     */
    int pad_h, pad_w;        /* zeros on each side; GENAI_SAME: output ceil(H/stride), as Keras; 0: none                 */
    int output_h, output_w;  /* transposed only: the output size where several fit; 0: SAME gives H*stride, else the smallest */
} genai_conv_desc;
/* x [N,H,W,C] w [K,K,C,M] bias [M] or NULL -> [N,H',W',M], cross-correlation as all frameworks have it. */
GENAI_API genai_tensor *genai_conv2d(genai_tensor *x, genai_tensor *w, genai_tensor *bias, const genai_conv_desc *desc);
/* The adjoint of conv2d: x [N,H,W,C] w [K,K,M,C] (the weights of the convolution from M to C channels that it is the
 * adjoint of) bias [M] or NULL -> [N,H',W',M]. */
GENAI_API genai_tensor *genai_conv2d_transpose(genai_tensor *x, genai_tensor *w, genai_tensor *bias, const genai_conv_desc *desc);

/* --- normalisation, dropout, pooling --- */
/* Batch normalisation (Ioffe and Szegedy 2015) over all dims but the last. gamma, beta, mean, var are [C]; mean and var
 * are the running statistics: new = momentum*old + (1-momentum)*batch, var unbiased. eps is added to the variance. Its
 * gradient cannot be differentiated again. Errors: TRAIN with one value a channel. */
GENAI_API genai_tensor *genai_batch_norm(genai_tensor *x, genai_tensor *gamma, genai_tensor *beta, genai_tensor *mean, genai_tensor *var,
                                         genai_mode mode, float momentum, float eps);
/* x [N,...,C]; statistics for each image over all other dims (layer, Ba et al. 2016), over H and W (instance, Ulyanov et
 * al. 2016), or over H, W and C/groups channels (group, Wu and He 2018). gamma and beta [C]. */
GENAI_API genai_tensor *genai_layer_norm(genai_tensor *x, genai_tensor *gamma, genai_tensor *beta, float eps);
GENAI_API genai_tensor *genai_instance_norm(genai_tensor *x, genai_tensor *gamma, genai_tensor *beta, float eps);
GENAI_API genai_tensor *genai_group_norm(genai_tensor *x, genai_tensor *gamma, genai_tensor *beta, int groups, float eps);
/* Each element is 0 with probability p, else x/(1-p), drawn anew each call (Srivastava et al. 2014). */
GENAI_API genai_tensor *genai_dropout(genai_tensor *x, float p);
GENAI_API genai_tensor *genai_upsample(genai_tensor *x, int factor);              /* nearest: [N,H*f,W*f,C]               */
GENAI_API genai_tensor *genai_average_pool(genai_tensor *x, int k, int stride);   /* windows inside the image             */
GENAI_API genai_tensor *genai_max_pool(genai_tensor *x, int k, int stride);       /* its gradient can't be differentiated */
GENAI_API genai_tensor *genai_softmax(genai_tensor *x);                           /* over the last dim                    */
GENAI_API genai_tensor *genai_log_softmax(genai_tensor *x);

/* --- losses: one-element tensors; sums over all but the first dim and the mean over N unless said otherwise --- */
GENAI_API genai_tensor *genai_mse_loss(genai_tensor *y, genai_tensor *target);    /* mean over N of the sum of squares     */
GENAI_API genai_tensor *genai_l1_loss(genai_tensor *y, genai_tensor *target);
/* -t log s(x) - (1-t) log(1-s(x)) as softplus(x) - t x: exact and finite for any logit. Target NULL: the constant value. */
GENAI_API genai_tensor *genai_bce_loss(genai_tensor *logits, genai_tensor *target, float value);
/* -log softmax(logits)[label]; logits [N,D], labels N ints in 0..D-1, copied. */
GENAI_API genai_tensor *genai_cross_entropy_loss(genai_tensor *logits, const int *labels);
/* 0.5 sum (log 2 pi + log_var + (target-mean)^2 exp(-log_var)). */
GENAI_API genai_tensor *genai_gaussian_nll_loss(genai_tensor *mean, genai_tensor *log_var, genai_tensor *target);
/* KL(N(mean, exp log_var) || N(0,1)) = 0.5 sum (exp log_var + mean^2 - 1 - log_var) (Kingma and Welling 2014, B). */
GENAI_API genai_tensor *genai_kl_loss(genai_tensor *mean, genai_tensor *log_var);
/* mean of max(0, 1 - sign*logits), sign +1 for real, -1 for generated (Lim and Ye 2017). */
GENAI_API genai_tensor *genai_hinge_loss(genai_tensor *logits, float sign);

/* --- random numbers (Philox 4x32-10, Salmon et al. 2011), drawn anew each call --- */
GENAI_API genai_tensor *genai_random_normal(genai_ctx *ctx, int ndim, const int *dim);
GENAI_API genai_tensor *genai_random_uniform(genai_ctx *ctx, int ndim, const int *dim); /* in [0,1)                       */
/* All later draws of this context depend on (seed, stream, step) alone: what makes a resumed training equal. Stream 0 is
 * the caller's; the library's own draws (models, weights, data) use others. */
GENAI_API void          genai_random_at(genai_ctx *ctx, uint32_t stream, uint64_t step);

/* --- networks and optimisers --- */
/* Builds a network from text. Shapes are checked before anything is allocated. Errors: SYNTAX with position and nearest word, SHAPE with the layer. */
GENAI_API genai_net    *genai_net_create(genai_ctx *ctx, const genai_net_desc *desc);
GENAI_API void          genai_net_destroy(genai_net *net);
/* x [N, dim...] -> the last layer's output. With GENAI_EVAL and recording off the net is made ready for use, which the first
 * call after a change pays for: weights are packed and kept (1 to 2.3 times their memory), batch norm is folded into the layer
 * before it (the last bits differ from a recorded pass), and a row's bits don't depend on N. */
GENAI_API genai_tensor *genai_net_forward(genai_net *net, genai_tensor *x, genai_mode mode);
/* The same with the images' classes, for nets with label, cbatchnorm or project: N ints in 0..classes-1, copied. NULL, and nets
 * that take no labels: as forward. ARGUMENT: a label is missing or out of range. */
GENAI_API genai_tensor *genai_net_forward_labels(genai_net *net, genai_tensor *x, const int *labels, genai_mode mode);
/* As forward, and *features gets the output of layer `layer` (from 0). */
GENAI_API genai_tensor *genai_net_forward_features(genai_net *net, genai_tensor *x, genai_mode mode, int layer, genai_tensor **features);
/* 0: the parameters are constants: no gradients for them are computed. 1 at first. Returns the former state. */
GENAI_API int           genai_net_trainable(genai_net *net, int on);
GENAI_API size_t        genai_net_parameters(const genai_net *net); /* trained values, without running statistics         */
GENAI_API int           genai_net_layers(const genai_net *net);
GENAI_API int           genai_net_output(const genai_net *net, int dim[3]); /* dims of one output without N; returns how many */
/* The layer table, one line a layer: name, output shape, parameters. Writes at most size bytes with the final 0; returns the length of the whole. */
GENAI_API size_t        genai_net_describe(const genai_net *net, char *to, size_t size);
/* target = decay*target + (1-decay)*source, for parameters and running statistics; decay 0 copies. Same text needed. */
GENAI_API genai_result  genai_net_average(genai_net *target, const genai_net *source, float decay);

GENAI_API genai_optimizer *genai_optimizer_create(genai_ctx *ctx, const genai_optimizer_desc *desc);
GENAI_API void             genai_optimizer_destroy(genai_optimizer *optimizer);
/* Adds a group: a net's parameters, or one tensor of its own; lr_scale multiplies the learning rate (0: 1). */
GENAI_API genai_result     genai_optimizer_add(genai_optimizer *optimizer, genai_net *net, float lr_scale);
GENAI_API genai_result     genai_optimizer_add_tensor(genai_optimizer *optimizer, genai_tensor *tensor, float lr_scale);
/* Sets the gradients of all groups to 0: before each backward. */
GENAI_API void             genai_optimizer_zero(genai_optimizer *optimizer);
/* One update from the gradients. NONFINITE: a gradient isn't finite; nothing was changed. */
GENAI_API genai_result     genai_optimizer_step(genai_optimizer *optimizer);
GENAI_API float            genai_optimizer_lr(const genai_optimizer *optimizer);   /* of the next step                     */
GENAI_API float            genai_optimizer_norm(const genai_optimizer *optimizer); /* L2 norm of the last step's gradients */
GENAI_API genai_optimizer_desc genai_optimizer_resolved(const genai_optimizer *optimizer); /* with defaults filled in      */

/* --- data --- */
/* Opens images: an IDX file or a folder with train-* and t10k-* IDX files (labels too), a folder with CIFAR-10 binary
 * batches, an image file, or a folder of images (sub-folders are classes; PNG, JPEG, BMP with stb_image.h included
 * before genai.h, binary PGM and PPM always). Files that can't be read are skipped, counted and logged. desc may be NULL.
 * Errors: IO, FORMAT, DATA when no image is left. */
GENAI_API genai_dataset *genai_dataset_open(genai_ctx *ctx, const char *path, const genai_dataset_desc *desc);
/* From memory: n images of width*height*channels bytes, copied; labels n ints (0..) or NULL. */
GENAI_API genai_dataset *genai_dataset_memory(genai_ctx *ctx, size_t n, int width, int height, int channels, const unsigned char *pixels,
                                              const int *labels, const genai_dataset_desc *desc);
/* Built-in sprites: mirrored, coloured creatures and ships with alpha, count an epoch; generated, so any size and no end. */
GENAI_API genai_dataset *genai_dataset_sprites(genai_ctx *ctx, size_t count, const genai_dataset_desc *desc);
/* Pairs for image-to-image models, out of two data sets of one size and channel count, which belong to it afterwards. Aligned:
 * image i of one (in the order of its files) goes with image i of the other, which has as many; else an epoch is one pass over
 * `from`, with images of `to` in an order of their own. Batches are [2,n,H,W,C]: all sources, then all targets. Their test sets
 * make its test set. Errors: ARGUMENT (aligned: one is flipped), SHAPE, DATA (counts differ, or files of an aligned set could not be read). */
GENAI_API genai_dataset *genai_dataset_pairs(genai_dataset *from, genai_dataset *to, int aligned);
GENAI_API void           genai_dataset_destroy(genai_dataset *data);
GENAI_API genai_dataset_info genai_dataset_describe(const genai_dataset *data);
GENAI_API genai_dataset *genai_dataset_test(genai_dataset *data);  /* its test set, owned by it; NULL if none             */
GENAI_API const char    *genai_dataset_class(const genai_dataset *data, int label); /* its name; NULL if it has none       */
/* n images from position `first` of epoch `epoch`'s order (a permutation from the context's seed; epoch -1: file order),
 * as [n,H,W,C] in [0,1], of pairs [2,n,H,W,C]; labels (n ints) may be NULL. */
GENAI_API genai_result   genai_dataset_batch(genai_dataset *data, long epoch, size_t first, int n, float *images, int *labels);

/* --- pictures: float images in [0,1] --- */
/* Writes one image as PNG (through stb_image_write.h if that was included before; PGM, PPM or PAM by extension always),
 * atomically: the old file stays whole if anything fails. */
GENAI_API genai_result   genai_image_save(genai_ctx *ctx, const char *path, int width, int height, int channels, const float *pixels);
/* n images [n,H,W,C] as a grid of `columns`, with a gap of 2 pixels; images with alpha over a checkered ground. */
GENAI_API genai_result   genai_image_save_grid(genai_ctx *ctx, const char *path, int n, int columns, int width, int height, int channels, const float *pixels);

/* --- models --- */
GENAI_API int            genai_preset_count(void);
GENAI_API const genai_preset *genai_preset_at(int index);          /* NULL out of range                                   */
/* Sets one field of desc by its name ("beta", "lr", "loss", ...) from text; value must outlive desc's use. SYNTAX with the nearest name. */
GENAI_API genai_result   genai_model_set(genai_ctx *ctx, genai_model_desc *desc, const char *key, const char *value);
/* A model with fresh weights. NULL also while the context holds an error, so that a data set that failed to open isn't
 * replaced by the preset's usual size. Errors: ARGUMENT, SYNTAX, SHAPE, UNSUPPORTED, MEMORY. */
GENAI_API genai_model   *genai_model_create(genai_ctx *ctx, const genai_model_desc *desc);
GENAI_API void           genai_model_destroy(genai_model *model);
GENAI_API genai_model_desc genai_model_resolved(const genai_model *model); /* with every default filled in                */
/* One of these by its name, as text that genai_model_set takes: the model's own, or written to `to`, which holds 32 characters. NULL:
 * there is no such setting, or it is a text and not set. */
GENAI_API const char    *genai_model_get(const genai_model *model, const char *key, char *to);
GENAI_API const char    *genai_model_family(const genai_model *model);     /* "gan", "vae", "vaegan", "aae", "vqvae", "translate", "cycle", "rbm", "dbn" */
GENAI_API long           genai_model_steps(const genai_model *model);      /* trained so far                              */
GENAI_API uint64_t       genai_model_seed(const genai_model *model);       /* of the context in which its training began; going on needs the same */
/* Text for people: preset, sizes, losses, layer tables. Sizes as genai_net_describe. */
GENAI_API size_t         genai_model_describe(const genai_model *model, char *to, size_t size);
/* Labels, in what follows: one class for each image, 0..classes-1; NULL for models without condition, which don't read them.
 * Errors where a conditional model gets none, or one out of range: ARGUMENT. */
/* One training step on n images [n,H,W,C] in [0,1], or n pairs [2,n,H,W,C]. losses may be NULL. */
GENAI_API genai_result   genai_model_step(genai_model *model, int n, const float *images, const int *labels, genai_losses *losses);
/* Trains; see genai_fit_desc. With out and an existing checkpoint in it, use genai_model_load on that first to go on.
 * STOPPED when on_step stopped it (everything is saved then too, as after errors other than NONFINITE and MEMORY). */
GENAI_API genai_result   genai_model_fit(genai_model *model, genai_dataset *data, const genai_fit_desc *desc);
/* An on_step that shows one line on a terminal, or plain lines when stderr is none: losses (D discriminator, G generator, rec
 * reconstruction), rate, rest, then of genai_health what 120 characters have room for (grad: its norms). user is not used. */
GENAI_API int            genai_progress_bar(void *user, const genai_progress *progress);
/* n images from latents drawn from seed, into out [n,H,W,C], in [0,1]. Image i depends on (seed, i, its label) alone; without
 * labels a conditional model takes the classes in turn: i % classes. */
GENAI_API genai_result   genai_model_sample(genai_model *model, uint64_t seed, int n, const int *labels, float *out);
/* rows*columns of the same images, seed 0, as one picture; the format follows the path as in genai_image_save. */
GENAI_API genai_result   genai_model_sample_grid(genai_model *model, const char *path, int rows, int columns);
/* z [n,Z] from images (the mean of the posterior), images from z. UNSUPPORTED: encode with a plain GAN. */
GENAI_API genai_result   genai_model_encode(genai_model *model, int n, const float *images, const int *labels, float *z);
GENAI_API genai_result   genai_model_decode(genai_model *model, int n, const float *z, const int *labels, float *images);
GENAI_API genai_result   genai_model_reconstruct(genai_model *model, int n, const float *images, const int *labels, float *out);
/* n images on the way from latent a to latent b, ends included: spherical where the prior is normal (White 2016), straight where
 * it isn't (plain autoencoders, fitted samplers, codes). label: the class of all, if the model is conditional. */
GENAI_API genai_result   genai_model_interpolate(genai_model *model, const float *a, const float *b, int label, int n, float *out);
/* n images from z [Z] with latent number `dimension` going from low to high, the others as they are. */
GENAI_API genai_result   genai_model_traverse(genai_model *model, const float *z, int label, int dimension, float low, float high, int n, float *out);
/* What makes class `to` out of class `from`: the difference of the mean latents of their images, into z [Z] (Radford et al.
 * 2016, 6.3.2). labels are needed. DATA: an image of each is. */
GENAI_API genai_result   genai_model_direction(genai_model *model, int n, const float *images, const int *labels, int from, int to, float *z);
/* Latents z [n,Z] whose images agree best with the known pixels of `images` [n,H,W,C]: Adam on the sum over known pixels of
 * (made - x)^2 / (2 noise^2) plus, where training drew latents to N(0,1), |z|^2 / 2, the posterior's mode for normal noise (Bora et al. 2017), from
 * the encoder's answer or, without encoder, from the best of `starts` samples. Of a vqvae the nearest codes to that. desc may be NULL. */
GENAI_API genai_result   genai_model_refine(genai_model *model, int n, const float *images, const int *labels, const genai_refine_desc *desc, float *z);
/* Images with what the mask hides made anew; known pixels stay as they are. ARGUMENT: no mask. */
GENAI_API genai_result   genai_model_inpaint(genai_model *model, int n, const float *images, const int *labels, const genai_refine_desc *desc, float *out);
/* The images that the refined latents make, which have the originals' noise as far as the model has learned it: none. */
GENAI_API genai_result   genai_model_denoise(genai_model *model, int n, const float *images, const int *labels, const genai_refine_desc *desc, float *out);
/* score [n]: the mean squared error of each image against what the model makes of it, by its encoder (An and Cho 2015) or,
 * without one, by refined latents (Schlegl et al. 2017): high for what it hasn't learned. desc may be NULL. */
GENAI_API genai_result   genai_model_anomaly(genai_model *model, int n, const float *images, const int *labels, const genai_refine_desc *desc, float *score);
/* Families translate and cycle: images [n,H,W,C] in [0,1] of the source's kind into those of the target's; back 1: the other way
 * round, which cycle has learned too. UNSUPPORTED: other families. */
GENAI_API genai_result   genai_model_translate(genai_model *model, int n, const float *images, int back, float *out);
/* Where latents are drawn from, in this model and its files (genai_model_fit fits it anew at its end): "prior"; "gaussian", one normal distribution with the
 * covariance of the encoded data; "mixture", `components` of them (0: the model's, or less: one for each Z + 1 images, 204800 / Z^2) by EM (Dempster et al. 1977; Ghosh et al. 2020 for why).
 * Fitted to a draw from each posterior (where there is none, to what the encoder says), of at most 10000 images of all classes together. UNSUPPORTED without an encoder. */
GENAI_API genai_result   genai_model_fit_sampler(genai_model *model, genai_dataset *data, const char *kind, int components);
/* n latents [n,Z] from the prior, or the sampler that was fitted. Latent i depends on (seed, i) alone. */
GENAI_API genai_result   genai_model_latents(genai_model *model, uint64_t seed, int n, float *z);
/* *value = -log p(x) in nats, in the mean of a data set, by importance sampling with k latents from each posterior (Burda et al.
 * 2016): above the truth in expectation, falling to it as k grows, so say k with the number; 5000 is usual. Bernoulli: of pixels
 * that are 0 or 1 only (see binarise); gaussian: a density in [0,1]^D, not comparable with it. rbm: F(x) + log Z, k the runs of AIS; dbn: the
 * variational bound, with one draw from the posterior. UNSUPPORTED: no posterior, no density. */
GENAI_API genai_result   genai_model_nll(genai_model *model, genai_dataset *data, int k, double *value);
/* low [n] = log p(x) of each image, in nats, where z ~ N(0,1), a sampler fitted or not, and x = what is painted from z + noise N(0,1): of any decoder,
 * whatever it was trained by, on one scale. Annealed importance sampling with Hamiltonian transitions (Wu et al. 2017): too low, if anything.
 * Image i depends on (desc, i, x, its label) alone; it is taken as it is, also where binarise is set. images NULL: n that the model
 * draws itself in that way, labels NULL then: of the classes in turn; for these alone high [n] is the same from the latents they
 * came of back to the prior, too high if anything, so that the means of low and high enclose the truth (bidirectional Monte Carlo,
 * Grosse et al. 2015). A density with this noise: only where a model's own likelihood is that too it can be compared with
 * genai_model_nll, which has the other sign. Costs runs x steps x leapfrogs x 1.1 passes on and back an image. desc may be NULL.
 * UNSUPPORTED: latents that aren't N(0,1). ARGUMENT: desc out of range, high and images both given. NONFINITE: an estimate. */
GENAI_API genai_result   genai_model_likelihood(genai_model *model, int n, const float *images, const int *labels, const genai_likelihood_desc *desc, double *low, double *high);
/* Families rbm and dbn. log Z of the model, or of a dbn's top RBM: exact, or by AIS both ways; where these differ by much, the chains
 * don't mix, and the truth is between. desc may be NULL. ARGUMENT: runs below 2, steps below 29. genai_model_nll takes log_z. */
GENAI_API genai_result   genai_model_log_partition(genai_model *model, const genai_partition_desc *desc, genai_partition *out);
/* energy [n]: F = -log p(x) - log Z of each image; of a dbn an upper bound on that, with one draw of the units below the top RBM. */
GENAI_API genai_result   genai_model_free_energy(genai_model *model, int n, const float *images, double *energy);
/* A net of the encoder's layers, weights copied, with 'dense classes' behind: to be trained further as a classifier in a loop of
 * your own, by genai_cross_entropy_loss (Hinton et al. 2006, 6). Yours to destroy. */
GENAI_API genai_net     *genai_model_classifier(genai_model *model, int classes);
/* The family's own measure on a data set, and its name, which says what it is (VAE: "test -ELBO", nats; with gaussian likelihood
 * "test -ELBO of a density", with mse "test squared error + KL"; autoencoders: "test squared error", ...). UNSUPPORTED where it has none. */
GENAI_API genai_result   genai_model_evaluate(genai_model *model, genai_dataset *data, const char **name, double *value);
/* How good images are: a judge turns them into vectors, genai_measure compares those of made and of real images.
 * The judge is a small classifier that is trained here, on all of data, in about 10 s; its accuracy is measured on the data's
 * test set. Equal seed, data and desc make equal judges. desc may be NULL. UNSUPPORTED: data has less than two classes. */
GENAI_API genai_judge   *genai_judge_create(genai_ctx *ctx, genai_dataset *data, const genai_judge_desc *desc);
GENAI_API void           genai_judge_destroy(genai_judge *judge);
GENAI_API genai_judge_info genai_judge_describe(const genai_judge *judge);
/* images [n,H,W,C] in [0,1] -> the likeliest class of each, and probabilities [n,classes]; either may be NULL. */
GENAI_API genai_result   genai_judge_classify(genai_judge *judge, int n, const float *images, int *labels, float *probabilities);
/* images [n,H,W,C] in [0,1] -> features [n,D] of the layer before the last. A row depends on its image alone. */
GENAI_API genai_result   genai_judge_features(genai_judge *judge, int n, const float *images, float *features);
/* A judge's file is a safetensors file as a model's is. Only measures by the same judge can be compared. */
GENAI_API genai_result   genai_judge_save(genai_judge *judge, const char *path);
GENAI_API genai_judge   *genai_judge_load(genai_ctx *ctx, const char *path);
/* All of genai_measures: Frechet distance (Dowson and Landau 1982, Heusel et al. 2017), precision and recall (Kynkaanniemi et
 * al. 2019), density and coverage (Naeem et al. 2020), kernel distance (Binkowski et al. 2018, unbiased, (x.y/dim + 1)^3).
 * Memory grows with the counts, not their product. Warns where a count is too small for a covariance of full rank. Errors:
 * ARGUMENT for too few vectors (2, and more than k), NONFINITE for values that are not finite or beyond 1e15. */
GENAI_API genai_result   genai_measure(genai_ctx *ctx, const genai_measure_desc *desc, genai_measures *out);
/* Of genai_measures too: kl_gaussian, (tr S'^-1 S + gap' S'^-1 gap - D + log |S'|/|S|) / 2, sees two moments only; kl_nearest, D/n sum log (nu_k
 * / rho_k) + log m/(n-1) of distances in made and in real (Wang, Kulkarni and Verdu 2009), is biased where D is large and too small for copies,
 * vectors with k copies left out; histograms, over k-means cells of real (Richardson and Weiss 2018; kl: half a vector more in each), not inside a cell. */

/* Principal components of x [n,dim]: basis [1+k,dim] gets the mean, then k directions of falling variance, exact, through the products
 * of all x (n at most 2048: some hundreds do for images); project: places y [n,k] of x along them. k at most dim and n - 1. */
GENAI_API genai_result   genai_pca(genai_ctx *ctx, int n, int dim, const float *x, int k, float *basis);
GENAI_API genai_result   genai_pca_project(genai_ctx *ctx, int n, int dim, const float *x, int k, const float *basis, float *y);
/* value [n,sigmas]: log-density of each x under normal windows around m made vectors, log 1/m sum N(x; made, sigma^2), nats. Published
 * protocol (Breuleux et al. 2011, Goodfellow et al. 2014): in pixels, 10000 made, the sigma whose mean is best on a validation set, then
 * the mean over the test set with its standard error. It is no likelihood of the model, and ranks models otherwise (Theis et al. 2016). */
GENAI_API genai_result   genai_parzen(genai_ctx *ctx, int dim, int m, const float *made, int n, const float *x, int sigmas, const double *sigma, double *value);
/* How alike n pairs of images [n,H,W,C] are: mean squared error, 10 log10 1/mse, SSIM (Wang et al. 2004: normal windows of 11, or the
 * largest odd number that fits, deviation 1.5) and MS-SSIM (Wang et al. 2003; of its 5 scales those whose sides are 11 or more, with
 * weights that add up to 1), means over pixels and channels. Between samples it is 1 - diversity (Odena et al. 2017). */
GENAI_API genai_result   genai_similarities(genai_ctx *ctx, int n, int width, int height, int channels, const float *a, const float *b, genai_similarity *out);
/* What vectors know of classes. accuracy: of ridge regression (penalty 1) of standardised vectors on +-1 for each class, a linear
 * probe; purity and normalised mutual information 2 I / (H + H') of k-means clusters and classes, which need no labels to be found. */
GENAI_API genai_result   genai_probe(genai_ctx *ctx, const genai_probe_desc *desc, genai_probe_result *out);
/* For each of the n vectors a, the nearest of the m vectors b (the first, if there are several): index [n], and distance [n],
 * Euclidean; either may be NULL. Pixels are vectors too: which training image is a sample nearest to? Errors as above. */
GENAI_API genai_result   genai_nearest(genai_ctx *ctx, int n, const float *a, int m, const float *b, int dim, int *index, float *distance);
/* Model files: safetensors, with all that is needed to sample as metadata. A checkpoint holds the training state too, so
 * that training goes on bit for bit. Both are written beside and renamed. */
GENAI_API genai_result   genai_model_save(genai_model *model, const char *path);
GENAI_API genai_result   genai_model_save_checkpoint(genai_model *model, const char *path);
/* The model in a file of either kind; a checkpoint goes on with genai_model_fit in a context of the same seed. NULL: IO,
 * FORMAT, UNSUPPORTED or NONFINITE; nothing is loaded by half. */
GENAI_API genai_model   *genai_model_load(genai_ctx *ctx, const char *path);

#ifdef __cplusplus
}
#endif
#endif /* GENAI_H */
/* You can stop here if you only want to use the library. */
#if defined(GENAI_IMPLEMENTATION) && !defined(GENAI__PASS)
#ifdef GENAI__IMPLEMENTED
#error "GENAI_IMPLEMENTATION is defined in two inclusions of genai.h in one source file"
#endif
#define GENAI__IMPLEMENTED

/* ====================================================================================================================
 * >>platform (private)
 * The only place that asks what compiler, processor and system this is. Everything below uses the words made here.
 * Functions of the system are limited to those that headers declare under a strict -std=c99 too.
 * ================================================================================================================= */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define GENAI__WINDOWS 1
#ifndef GENAI_NO_THREADS
#define GENAI_NO_THREADS /* the pool is written for POSIX threads */
#endif
#else
#define GENAI__WINDOWS 0
#endif
#ifndef GENAI_NO_STDIO
#if GENAI__WINDOWS
#include <direct.h>
#include <io.h>
#include <time.h>
#else
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif
#endif
#if !GENAI__WINDOWS
#include <sys/time.h>
#endif
#ifndef GENAI_NO_THREADS
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#endif

#if defined(__GNUC__) && defined(__x86_64__)
#define GENAI__X86_MODE 1 /* it has a control register for denormals ...  */
#include <xmmintrin.h>
#else
#define GENAI__X86_MODE 0
#endif
#if defined(__GNUC__) && defined(__aarch64__)
#define GENAI__ARM_MODE 1
#else
#define GENAI__ARM_MODE 0
#endif
#if GENAI__X86_MODE && !defined(GENAI_NO_SIMD)
#define GENAI__X86 1 /* ... and vector kernels are wanted */
#include <immintrin.h>
#else
#define GENAI__X86 0
#endif
#if GENAI__ARM_MODE && !defined(GENAI_NO_SIMD)
#define GENAI__ARM 1
#include <arm_neon.h>
#else
#define GENAI__ARM 0
#endif

/* From here on the arithmetic must not depend on the user's flags: no contraction of a*b+c (what should be fused says
 * so), no reassociation, and with gcc the kernels are optimised in a -O0 build too. */
#if defined(__clang__)
#define GENAI__UNROLL _Pragma("unroll")
#pragma STDC FP_CONTRACT OFF
#if __clang_major__ >= 14 && defined(__x86_64__) /* other targets don't know it */
#pragma float_control(push)
#pragma float_control(precise, on)
#endif
#elif defined(__GNUC__)
#define GENAI__UNROLL _Pragma("GCC unroll 16")
#pragma GCC push_options
#pragma GCC optimize("O2", "no-fast-math", "fp-contract=off", "no-math-errno")
#else
#define GENAI__UNROLL
#endif

#if defined(__clang__) && !defined(__OPTIMIZE__) /* which can't be made good here: a matrix product takes 50 times as long */
#define GENAI__UNOPTIMISED 1
#else
#define GENAI__UNOPTIMISED 0
#endif

#if defined(__GNUC__)
#define GENAI__INLINE static inline __attribute__((always_inline, unused))
#define GENAI__PREFETCH(p) __builtin_prefetch(p)
#define GENAI__PREFETCH_WRITE(p) __builtin_prefetch(p, 1)
#define GENAI__NOINLINE __attribute__((noinline, unused))
#else
#define GENAI__INLINE static inline
#define GENAI__PREFETCH(p) ((void)(p))
#define GENAI__PREFETCH_WRITE(p) ((void)(p))
#define GENAI__NOINLINE
#endif
#if defined(__SANITIZE_THREAD__)
#define GENAI__SPIN 64
#else
#define GENAI__SPIN 4000
#endif

#define GENAI__COUNT(array) (sizeof(array) / sizeof((array)[0]))

#ifdef __cplusplus
#define GENAI__ZEROED {}     /* any struct with all its fields 0 */
#define GENAI__NULL nullptr  /* a NULL that may stand behind a comma: return genai__fail(...), GENAI__NULL */
#else
#define GENAI__ZEROED {0}
#define GENAI__NULL NULL
#endif

static genai_io genai__default_io(void); /* >>files */

/* Wall clock in seconds, for rates and estimates only. */
static double genai__now(void) {
#if GENAI__WINDOWS
    return (double)clock() / CLOCKS_PER_SEC;
#else
    struct timeval t;
    gettimeofday(&t, NULL);
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
#endif
}

GENAI__INLINE uint32_t genai__bits_of(float x) { uint32_t u; memcpy(&u, &x, sizeof u); return u; }
GENAI__INLINE float    genai__float_of(uint32_t u) { float x; memcpy(&x, &u, sizeof x); return x; }
/* Exponent bits, since -ffast-math deletes isfinite. */
GENAI__INLINE int      genai__finite(float x) { return (genai__bits_of(x) & 0x7f800000u) != 0x7f800000u; }

/* Floating-point mode while we compute: round to nearest, denormals are zero (they cost 100 times as much), nothing
 * traps. Each entry saves the caller's mode and puts it back. x86 and Arm differ in one case only: a result within half
 * a unit below 2^-126, which x86 rounds up to 2^-126 and Arm flushes. */
GENAI__INLINE uint64_t genai__fp_enter(void) {
#if GENAI__X86_MODE
    uint64_t old = _mm_getcsr();
    _mm_setcsr(0x9fc0u);
    return old;
#elif GENAI__ARM_MODE
    uint64_t old, mode = (uint64_t)1 << 24;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(old));
    __asm__ __volatile__("msr fpcr, %0" : : "r"(mode));
    return old;
#else
    return 0;
#endif
}
GENAI__INLINE void genai__fp_leave(uint64_t old) {
#if GENAI__X86_MODE
    _mm_setcsr((unsigned)old);
#elif GENAI__ARM_MODE
    __asm__ __volatile__("msr fpcr, %0" : : "r"(old));
#else
    (void)old;
#endif
}

/* ====================================================================================================================
 * The context. One struct, so that two contexts share nothing; each room says which of its fields it keeps.
 * ================================================================================================================= */
typedef struct genai__kernels genai__kernels; /* >>kernels: what one instruction set offers */

typedef struct genai__block { /* heads every allocation; the ring of blocks is what genai_ctx_destroy frees */
    struct genai__block *next, *previous;
    void                *raw;
    size_t               bytes;
} genai__block;

typedef struct genai__chunk { /* of the tape's small things */
    struct genai__chunk *next;
    size_t               size, used;
    unsigned char       *data;
} genai__chunk;

typedef struct genai__piece { /* heads a tensor's values; pieces fill a slab from end to end                   */
    struct genai__piece *before;          /* its neighbour below; NULL: the slab's first                       */
    struct genai__piece *next, *previous; /* in the ring of free ones                                          */
    size_t               size;            /* bytes behind the head, a multiple of 64                           */
    int                  users, last;     /* tensors that share it, 0: free; 1: it ends the slab               */
} genai__piece;

typedef struct genai__slab {
    struct genai__slab *next;
    genai__piece       *first;
    size_t              size; /* of the largest piece that it can hold                                         */
    int                 open; /* 1: its pieces are in use or in the ring                                       */
} genai__slab;

#define GENAI__MAX_THREADS 256

typedef struct genai__pool {
#ifndef GENAI_NO_THREADS
    pthread_t       thread[GENAI__MAX_THREADS];
    pthread_mutex_t mutex;
    pthread_cond_t  wake;
#endif
    int      workers;  /* besides the caller                                              */
    uint64_t state;    /* the job: round (24 bits), tasks (20), next task (20); atomic    */
    uint64_t finished; /* tasks of the job that are done; atomic                          */
    int      sleeping, quit; /* atomic                                                    */
    void (*task)(void *arg, int index);
    void *arg;
} genai__pool;

struct genai_ctx {
    genai_ctx_desc        desc;       /* resolved                                   */
    const genai__kernels *kernels;    /* >>cpu                                      */
    genai__block          blocks;     /* >>memory: the ring                         */
    genai_result          result;     /* >>errors: the first error                  */
    char                  sentence[512];
    genai__pool           pool;       /* >>threads                                  */
    float                *slots;      /* >>gemm: one scratch per thread             */
    int                   slot_taken[GENAI__MAX_THREADS + 1];
    float                *workspace;  /* >>gemm: grows to the largest need          */
    size_t                workspace_size;
    genai__chunk         *chunks, *chunk; /* >>tensor: the arena                    */
    genai__slab          *slabs;
    genai__piece          free_pieces;
    genai_tensor         *first, *last; /* >>tape                                   */
    int                   recording, walk;
    uint32_t              stream;     /* >>random: where draws stand                */
    uint64_t              step;
    uint32_t              draw;
    size_t                changes;    /* >>net: of any parameters or running statistics */
    double                flops;      /* >>ops: nominal, since trace was told last   */
};

/* Tells genai_ctx_desc.trace that a piece of work begins (ended 0) or has ended. */
static void genai__trace(genai_ctx *ctx, const char *name, int backward, int ended, double bytes) {
    const genai_work work = {name, backward, ended, ended ? ctx->flops : 0, bytes};
    if (!ctx->desc.trace) return;
    ctx->flops = 0;
    ctx->desc.trace(ctx->desc.trace_user, &work);
}

/* ====================================================================================================================
 * >>errors (private)
 * genai__fail keeps the first error and logs it. Whoever can fail returns what it returns.
 * ================================================================================================================= */
GENAI_API const char *genai_version(void) { return GENAI_VERSION; }

GENAI_API const char *genai_result_text(genai_result result) {
    switch (result) {
#define GENAI__X(name, value, text) case GENAI_##name: return text;
        GENAI_RESULTS(GENAI__X)
#undef GENAI__X
        case GENAI_STOPPED: return "a callback asked to stop";
        default: return "unknown result code";
    }
}

static void genai__log_to(const genai_ctx_desc *desc, genai_log_level level, const char *text) {
    if (desc->log) desc->log(desc->log_user, level, text);
#ifndef GENAI_NO_STDIO
    else if (level != GENAI_LOG_INFO) {
        fputs(level == GENAI_LOG_ERROR ? "genai: " : "genai: warning: ", stderr);
        fputs(text, stderr);
        fputc('\n', stderr);
    }
#endif
}

/* What a function with a format and values behind it says, to an array. */
#define GENAI__FORMAT(to, size, format)       \
    do {                                      \
        va_list args;                         \
        va_start(args, format);               \
        vsnprintf(to, size, format, args);    \
        va_end(args);                         \
    } while (0)

static GENAI__PRINTF(2, 3) void genai__warn(genai_ctx *ctx, const char *format, ...) {
    char text[512];
    GENAI__FORMAT(text, sizeof text, format);
    genai__log_to(&ctx->desc, GENAI_LOG_WARNING, text);
}

static GENAI__PRINTF(3, 4) genai_result genai__fail(genai_ctx *ctx, genai_result code, const char *format, ...) {
    if (ctx->result) return code;
    GENAI__FORMAT(ctx->sentence, sizeof ctx->sentence, format);
    ctx->result = code;
    genai__log_to(&ctx->desc, GENAI_LOG_ERROR, ctx->sentence);
    return code;
}

GENAI_API genai_result genai_ctx_result(const genai_ctx *ctx) { return ctx ? ctx->result : GENAI_ERROR_ARGUMENT; }
GENAI_API const char  *genai_ctx_error(const genai_ctx *ctx) { return ctx ? ctx->sentence : "there is no context"; }
GENAI_API int          genai_ctx_report(const genai_ctx *ctx) { return !ctx || ctx->result != GENAI_OK; }
GENAI_API void         genai_ctx_clear(genai_ctx *ctx) {
    if (!ctx) return;
    ctx->result = GENAI_OK;
    ctx->sentence[0] = 0;
}

/* Calls, and returns what the call returns if that is an error. */
#define GENAI__TRY(call)                       \
    do {                                       \
        const genai_result tried = (call);     \
        if (tried) return tried;               \
    } while (0)

/* ====================================================================================================================
 * >>memory (private)
 * All memory comes from genai__alloc, which keeps a ring of what is allocated. Sizes that depend on input are computed
 * with genai__mul and genai__add only. genai__text builds strings; numbers are written and read without the locale.
 * ================================================================================================================= */
static int genai__mul(size_t a, size_t b, size_t *product) {
    if (a && b > (size_t)-1 / a) return 0;
    *product = a * b;
    return 1;
}
static int genai__add(size_t a, size_t b, size_t *sum) {
    if (b > (size_t)-1 - a) return 0;
    *sum = a + b;
    return 1;
}

#define GENAI__ALIGN 64

/* Zeroed memory aligned to a cache line, or NULL with the error set. */
static void *genai__alloc(genai_ctx *ctx, size_t count, size_t size) {
    size_t         bytes, total;
    unsigned char *raw = NULL, *p;
    if (genai__mul(count, size, &bytes) && genai__add(bytes, sizeof(genai__block) + GENAI__ALIGN, &total))
        raw = (unsigned char *)ctx->desc.allocator.alloc(ctx->desc.allocator.user, total);
    if (!raw) return genai__fail(ctx, GENAI_ERROR_MEMORY, "out of memory: %zu times %zu bytes could not be allocated", count, size), GENAI__NULL;
    p = raw + sizeof(genai__block);
    p += (GENAI__ALIGN - (uintptr_t)p % GENAI__ALIGN) % GENAI__ALIGN;
    genai__block *block = (genai__block *)(void *)(p - sizeof(genai__block));
    block->raw = raw;
    block->bytes = bytes;
    block->next = &ctx->blocks;
    block->previous = ctx->blocks.previous;
    block->previous->next = block;
    ctx->blocks.previous = block;
    memset(p, 0, bytes);
    return p;
}

static void genai__free(genai_ctx *ctx, const void *p) {
    if (!p) return;
    genai__block *block = (genai__block *)(uintptr_t)((const unsigned char *)p - sizeof(genai__block));
    block->previous->next = block->next;
    block->next->previous = block->previous;
    ctx->desc.allocator.free(ctx->desc.allocator.user, block->raw);
}

/* Grows p to count elements, keeping its contents; NULL leaves p as it was. */
static void *genai__grow(genai_ctx *ctx, void *p, size_t count, size_t size) {
    void *larger = genai__alloc(ctx, count, size);
    if (!larger) return NULL;
    if (p) {
        size_t had = ((genai__block *)(void *)((unsigned char *)p - sizeof(genai__block)))->bytes;
        memcpy(larger, p, had < count * size ? had : count * size);
        genai__free(ctx, p);
    }
    return larger;
}

/* --- pieces: memory for the time that somebody needs it. A slab is filled with pieces from end to end; one that is given
 * back is joined with free neighbours and used again. Nothing is returned to the allocator, and a second equal step finds
 * all where the first had it: the slab that was new then is the next closed one now. --- */
#define GENAI__SLAB_BYTES ((size_t)256 << 10)
#define GENAI__SMALL 4096     /* bytes; what is left of a piece that is cut is at least that                           */
#define GENAI__PIECE_HEAD 64
static genai__piece *genai__piece_of(const float *data) { return (genai__piece *)(uintptr_t)((const unsigned char *)data - GENAI__PIECE_HEAD); }
static float        *genai__piece_data(genai__piece *p) { return (float *)(void *)((unsigned char *)p + GENAI__PIECE_HEAD); }
static genai__piece *genai__piece_after(genai__piece *p) {
    return p->last ? NULL : (genai__piece *)(void *)((unsigned char *)p + GENAI__PIECE_HEAD + p->size);
}

static void genai__piece_free(genai_ctx *ctx, genai__piece *p) { /* into the ring */
    p->users = 0;
    p->next = &ctx->free_pieces;
    p->previous = ctx->free_pieces.previous;
    p->previous->next = p->next->previous = p;
}
static void genai__piece_unlink(genai__piece *p) {
    p->next->previous = p->previous;
    p->previous->next = p->next;
}

/* Makes a piece of `bytes` bytes of a free one, and what is left of it a free one. */
static float *genai__piece_take(genai_ctx *ctx, genai__piece *p, size_t bytes) {
    genai__piece *after = genai__piece_after(p), *rest;
    genai__piece_unlink(p);
    p->users = 1;
    if (p->size - bytes >= GENAI__PIECE_HEAD + GENAI__SMALL) {
        rest = (genai__piece *)(void *)((unsigned char *)p + GENAI__PIECE_HEAD + bytes);
        rest->before = p;
        rest->size = p->size - bytes - GENAI__PIECE_HEAD;
        rest->last = p->last;
        p->size = bytes;
        p->last = 0;
        if (after) after->before = rest;
        genai__piece_free(ctx, rest);
    }
    return genai__piece_data(p);
}

/* `bytes` bytes, not cleared, for one user: from the free piece that fits best, else from the first closed slab, else from a new one. NULL with the error set. */
static float *genai__take(genai_ctx *ctx, size_t bytes) {
    genai__piece *p, *best = NULL;
    genai__slab  *slab, **end = &ctx->slabs;
    size_t        size;
    if (!genai__add(bytes, 63, &bytes)) return (float *)genai__alloc(ctx, (size_t)-1, 1); /* which says so */
    bytes &= ~(size_t)63;
    for (p = ctx->free_pieces.next; p != &ctx->free_pieces; p = p->next)
        if (p->size >= bytes && (!best || p->size < best->size)) best = p;
    if (best) return genai__piece_take(ctx, best, bytes);
    for (slab = ctx->slabs; slab && (slab->open || slab->size < bytes); slab = slab->next) end = &slab->next;
    if (!slab) {
        if (!genai__add(bytes > GENAI__SLAB_BYTES ? bytes : GENAI__SLAB_BYTES, 2 * GENAI__PIECE_HEAD, &size)) return NULL;
        slab = (genai__slab *)genai__alloc(ctx, size, 1);
        if (!slab) return NULL;
        slab->size = size - 2 * GENAI__PIECE_HEAD;
        slab->first = (genai__piece *)(void *)((unsigned char *)slab + GENAI__PIECE_HEAD);
        *end = slab;
    }
    slab->open = 1;
    slab->first->size = slab->size;
    slab->first->last = 1;
    genai__piece_free(ctx, slab->first);
    return genai__piece_take(ctx, slab->first, bytes);
}

/* One user less; after the last one the piece is free, and one with its free neighbours. */
static void genai__give(genai_ctx *ctx, const float *data) {
    genai__piece *p = genai__piece_of(data), *after, *above;
    if (--p->users) return;
#ifdef GENAI__POISON /* tests: who reads what was given back reads NaN */
    memset(genai__piece_data(p), 0xff, p->size);
#endif
    after = genai__piece_after(p);
    if (after && !after->users) {
        genai__piece_unlink(after);
        p->size += GENAI__PIECE_HEAD + after->size;
        p->last = after->last;
    }
    if (p->before && !p->before->users) {
        genai__piece *before = p->before;
        genai__piece_unlink(before);
        before->size += GENAI__PIECE_HEAD + p->size;
        before->last = p->last;
        p = before;
    }
    above = genai__piece_after(p);
    if (above) above->before = p;
    genai__piece_free(ctx, p);
}

static char *genai__copy_text(genai_ctx *ctx, const char *text, size_t length) {
    char *copy = (char *)genai__alloc(ctx, length + 1, 1);
    if (copy) memcpy(copy, text, length);
    return copy;
}

static void *genai__malloc(void *user, size_t bytes) { (void)user; return malloc(bytes); }
static void  genai__libc_free(void *user, void *p) { (void)user; free(p); }

/* --- text --- */
typedef struct genai__text { /* grows as needed; `failed` sticks, so that one check at the end is enough */
    genai_ctx *ctx;
    char      *p; /* always ended by 0 unless failed */
    size_t     length, capacity;
    int        failed;
} genai__text;

static void genai__text_bytes(genai__text *t, const char *p, size_t n) {
    if (t->failed) return;
    if (t->length + n + 1 > t->capacity) {
        size_t capacity = (t->length + n + 1) * 2;
        char  *larger = (char *)genai__grow(t->ctx, t->p, capacity, 1);
        if (!larger) { t->failed = 1; return; }
        t->p = larger;
        t->capacity = capacity;
    }
    if (n) memcpy(t->p + t->length, p, n);
    t->length += n;
    t->p[t->length] = 0;
}
static void genai__text_add(genai__text *t, const char *s) { genai__text_bytes(t, s, strlen(s)); }
static GENAI__PRINTF(2, 3) void genai__text_format(genai__text *t, const char *format, ...) { /* up to 511 characters; no floats: see number */
    char piece[512];
    GENAI__FORMAT(piece, sizeof piece, format);
    genai__text_add(t, piece);
}
static void genai__text_free(genai__text *t) {
    genai__free(t->ctx, t->p);
    t->p = NULL;
    t->length = t->capacity = 0;
}

/* x with `digits` significant digits, with a point whatever the locale. to holds 32 characters. */
static char *genai__number(char *to, double x, int digits) {
    char *p = to;
    int   exponent = 0, i, last;
    char  digit[24];
    uint64_t bits, mantissa;
    memcpy(&bits, &x, sizeof bits);
    if (bits >> 63) { *p++ = '-'; x = -x; }
    if ((bits >> 52 & 0x7ff) == 0x7ff) { strcpy(p, bits << 12 ? "nan" : "inf"); return to; }
    digits = digits < 1 ? 1 : digits > 17 ? 17 : digits;
    if (x > 0) {
        double scaled = x, limit = 1;
        for (i = 1; i < digits; i++) limit *= 10;
        while (scaled >= limit * 10) { scaled /= 10; exponent++; }
        while (scaled < limit) { scaled *= 10; exponent--; }
        mantissa = (uint64_t)(scaled + 0.5);
        if (mantissa >= (uint64_t)limit * 10) { mantissa /= 10; exponent++; }
    } else mantissa = 0;
    for (i = digits - 1; i >= 0; i--) { digit[i] = (char)('0' + mantissa % 10); mantissa /= 10; }
    exponent += digits - 1; /* of the first digit */
    if (x <= 0) exponent = 0;
    for (last = digits - 1; last > 0 && digit[last] == '0'; last--) {}
    if (exponent >= -5 && exponent < digits) {
        if (exponent < 0) {
            *p++ = '0';
            *p++ = '.';
            for (i = -1; i > exponent; i--) *p++ = '0';
        }
        for (i = 0; i <= last || i <= exponent; i++) {
            *p++ = digit[i];
            if (i == exponent && i < last) *p++ = '.';
        }
        *p = 0;
    } else {
        *p++ = digit[0];
        if (last > 0) *p++ = '.';
        for (i = 1; i <= last; i++) *p++ = digit[i];
        sprintf(p, "e%d", exponent);
    }
    return to;
}

/* Reads a decimal number without the locale; the same bits everywhere (at most 15 digits count). Returns the first
 * character after it, or NULL if there is none. */
static const char *genai__parse_number(const char *p, double *x) {
    double   power = 1;
    uint64_t mantissa = 0;
    int      negative = *p == '-', digits = 0, exponent = 0, any = 0, sign = 1, e = 0;
    if (*p == '-' || *p == '+') p++;
    for (; *p >= '0' && *p <= '9'; p++, any = 1) {
        if (digits < 15) { mantissa = mantissa * 10 + (uint64_t)(*p - '0'); digits += mantissa != 0; } else exponent++;
    }
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++, any = 1)
            if (digits < 15) { mantissa = mantissa * 10 + (uint64_t)(*p - '0'); digits += mantissa != 0; exponent--; }
    if (!any) return NULL;
    if ((*p == 'e' || *p == 'E') && ((p[1] >= '0' && p[1] <= '9') || ((p[1] == '-' || p[1] == '+') && p[2] >= '0' && p[2] <= '9'))) {
        p++;
        if (*p == '-' || *p == '+') sign = *p++ == '-' ? -1 : 1;
        for (; *p >= '0' && *p <= '9'; p++) if (e < 1000) e = e * 10 + (*p - '0');
        exponent += sign * e;
    }
    if (exponent > 400) exponent = 400;
    if (exponent < -400) exponent = -400;
    for (e = exponent < 0 ? -exponent : exponent; e > 0; e--) power *= 10;
    *x = exponent < 0 ? (double)mantissa / power : (double)mantissa * power;
    if (negative) *x = -*x;
    return p;
}

/* Of `count` words, `stride` bytes apart (the word is the struct's first pointer), the nearest to s: fewest edits. */
static const char *genai__nearest(const char *s, size_t length, const void *words, size_t count, size_t stride) {
    const char *best = "";
    size_t      best_cost = (size_t)-1, w, i, j, row[64];
    if (length > 60) length = 60;
    for (w = 0; w < count; w++) {
        const char *word = *(const char *const *)(const void *)((const char *)words + w * stride);
        if (!word) continue;
        size_t n = strlen(word);
        if (n > 60) continue;
        for (j = 0; j <= n; j++) row[j] = j;
        for (i = 1; i <= length; i++) {
            size_t diagonal = row[0];
            row[0] = i;
            for (j = 1; j <= n; j++) {
                size_t cost = diagonal + (s[i - 1] != word[j - 1]), up = row[j];
                if (up + 1 < cost) cost = up + 1;
                if (row[j - 1] + 1 < cost) cost = row[j - 1] + 1;
                diagonal = up;
                row[j] = cost;
            }
        }
        if (row[n] < best_cost) { best_cost = row[n]; best = word; }
    }
    return best;
}

/* ====================================================================================================================
 * >>random (private)
 * Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a value is a function of the key
 * and of where it is used (the counter), never "the next one". Counters are {element block, draw, step, stream and the
 * step's upper half}; streams are numbered here so that no two uses meet. The key is the context's seed, but 0 for what has
 * a seed of its own, as the step, or none: so a model file's samples and measures are the same in every context.
 * ================================================================================================================= */
enum { GENAI__STREAM_USER = 0, GENAI__STREAM_STEP = 1, GENAI__STREAM_SAMPLE = 2, GENAI__STREAM_SHUFFLE = 3, GENAI__STREAM_FLIP = 4,
       GENAI__STREAM_SPRITE = 5, GENAI__STREAM_HOLDOUT = 6, GENAI__STREAM_EVALUATE = 7, GENAI__STREAM_JUDGE = 8,
       GENAI__STREAM_COMPONENT = 9, GENAI__STREAM_MIXTURE = 10, GENAI__STREAM_CODES = 11, GENAI__STREAM_AVERAGE = 12, GENAI__STREAM_AIS = 13, GENAI__STREAM_INIT = 16 /* and up */ };

typedef struct genai__counter { uint32_t w[4]; } genai__counter;

GENAI__INLINE genai__counter genai__philox(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
    uint32_t       k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    genai__counter r;
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    r.w[0] = c0; r.w[1] = c1; r.w[2] = c2; r.w[3] = c3;
    return r;
}

/* One draw of 4 words at (stream, step, draw, index). */
static uint32_t genai__stream_word(uint32_t stream, uint64_t step) { return stream ^ (uint32_t)(step >> 32) << 8; }
static genai__counter genai__draw(uint64_t key, uint32_t stream, uint64_t step, uint32_t draw, uint32_t index) {
    return genai__philox(key, index, draw, (uint32_t)step, genai__stream_word(stream, step));
}

GENAI_API void genai_random_at(genai_ctx *ctx, uint32_t stream, uint64_t step) {
    if (!ctx) return;
    ctx->stream = stream;
    ctx->step = step;
    ctx->draw = 0;
}

/* A permutation of 0..n-1 as a function: where position i of epoch `epoch` comes from. A 4-round Feistel network on the
 * next even power of two, walked until it falls inside (Black and Rogaway 2002): no table, so any position at any time. */
static size_t genai__permute(uint64_t seed, uint32_t stream, uint64_t epoch, size_t n, size_t i) {
    int half = 1, round;
    if (n < 2) return 0;
    while (half < 31 && ((uint64_t)1 << 2 * half) < n) half++;
    do {
        uint64_t mask = ((uint64_t)1 << half) - 1, left = (uint64_t)i >> half, right = (uint64_t)i & mask;
        for (round = 0; round < 4; round++) {
            uint64_t f = genai__philox(seed, (uint32_t)right, (uint32_t)round, (uint32_t)epoch, genai__stream_word(stream, epoch)).w[0], t = left ^ (f & mask);
            left = right;
            right = t;
        }
        i = (size_t)(left << half | right);
    } while (i >= n);
    return i;
}

/* ====================================================================================================================
 * >>threads (private)
 * genai__parallel(ctx, n, task, arg) runs task(arg, 0..n-1) and returns when all are done; what a task computes must not
 * depend on who runs it. Tasks are taken from one atomic word that holds job number, size and next index together, so a
 * worker that comes late can't take from the wrong job. Idle workers spin for some microseconds, then sleep.
 * ================================================================================================================= */
#define GENAI__MAX_TASKS ((1 << 20) - 1)

typedef struct genai__host_job {
    void (*task)(void *arg, int index);
    void *arg;
} genai__host_job;

static void genai__host_task(void *arg, int index) { /* on a thread of the host: our floating-point mode for its time */
    genai__host_job *job = (genai__host_job *)arg;
    uint64_t         mode = genai__fp_enter();
    job->task(job->arg, index);
    genai__fp_leave(mode);
}

#ifndef GENAI_NO_THREADS
GENAI__INLINE void genai__pause(void) {
#if GENAI__X86_MODE
    _mm_pause();
#elif GENAI__ARM_MODE
    __asm__ __volatile__("isb");
#endif
}

/* Runs one task of the current job; 0 if there is none left to take. */
static int genai__pool_take(genai__pool *pool) {
    uint64_t state = __atomic_load_n(&pool->state, __ATOMIC_ACQUIRE);
    for (;;) {
        uint32_t next = (uint32_t)(state & 0xfffff), n = (uint32_t)(state >> 20 & 0xfffff);
        if (next >= n) return 0;
        if (__atomic_compare_exchange_n(&pool->state, &state, state + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            pool->task(pool->arg, (int)next);
            __atomic_fetch_add(&pool->finished, 1, __ATOMIC_RELEASE);
            return 1;
        }
    }
}

static int genai__pool_idle(genai__pool *pool) {
    uint64_t state = __atomic_load_n(&pool->state, __ATOMIC_SEQ_CST);
    return (state & 0xfffff) >= (state >> 20 & 0xfffff) && !__atomic_load_n(&pool->quit, __ATOMIC_ACQUIRE);
}

static void *genai__pool_worker(void *arg) {
    genai__pool *pool = (genai__pool *)arg;
    genai__fp_enter();
    while (!__atomic_load_n(&pool->quit, __ATOMIC_ACQUIRE)) {
        while (genai__pool_take(pool)) {}
        for (int spin = 0; spin < GENAI__SPIN && genai__pool_idle(pool); spin++) genai__pause();
        if (!genai__pool_idle(pool)) continue;
        pthread_mutex_lock(&pool->mutex);
        __atomic_fetch_add(&pool->sleeping, 1, __ATOMIC_SEQ_CST);
        while (genai__pool_idle(pool)) pthread_cond_wait(&pool->wake, &pool->mutex);
        __atomic_fetch_sub(&pool->sleeping, 1, __ATOMIC_SEQ_CST);
        pthread_mutex_unlock(&pool->mutex);
    }
    return NULL;
}

static void genai__pool_wake(genai__pool *pool) {
    if (!__atomic_load_n(&pool->sleeping, __ATOMIC_SEQ_CST)) return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

static void genai__pool_start(genai_ctx *ctx, int threads) {
    genai__pool *pool = &ctx->pool;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    while (pool->workers < threads - 1 && !pthread_create(&pool->thread[pool->workers], NULL, genai__pool_worker, pool)) pool->workers++;
    if (pool->workers < threads - 1) genai__warn(ctx, "only %d of %d threads could be started", pool->workers + 1, threads);
    ctx->desc.threads = pool->workers + 1;
}

static void genai__pool_stop(genai__pool *pool) {
    __atomic_store_n(&pool->quit, 1, __ATOMIC_SEQ_CST);
    genai__pool_wake(pool);
    for (int i = 0; i < pool->workers; i++) pthread_join(pool->thread[i], NULL);
    pthread_mutex_destroy(&pool->mutex);
    pthread_cond_destroy(&pool->wake);
}

static void genai__pool_run(genai__pool *pool, int n, void (*task)(void *, int), void *arg) {
    uint64_t round = (__atomic_load_n(&pool->state, __ATOMIC_RELAXED) >> 40) + 1;
    int      spin = 0;
    pool->task = task;
    pool->arg = arg;
    __atomic_store_n(&pool->finished, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&pool->state, round << 40 | (uint64_t)n << 20, __ATOMIC_SEQ_CST);
    genai__pool_wake(pool);
    while (genai__pool_take(pool)) {}
    while (__atomic_load_n(&pool->finished, __ATOMIC_ACQUIRE) != (uint64_t)n)
        if (++spin < GENAI__SPIN) genai__pause();
        else sched_yield();
}

static int genai__cores(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > GENAI__MAX_THREADS ? GENAI__MAX_THREADS : (int)n;
}
#else
static int genai__cores(void) { return 1; }
#endif

static void genai__parallel(genai_ctx *ctx, int n, void (*task)(void *arg, int index), void *arg) {
#if defined(__GNUC__) /* the slots need its atomics */
    if (n > 1 && ctx->desc.parallel_for) {
        genai__host_job job = {task, arg};
        ctx->desc.parallel_for(ctx->desc.parallel_user, n, genai__host_task, &job);
        return;
    }
#endif
#ifndef GENAI_NO_THREADS
    if (n > 1 && ctx->pool.workers) {
        genai__pool_run(&ctx->pool, n, task, arg);
        return;
    }
#endif
    for (int i = 0; i < n; i++) task(arg, i);
}

/* Marks slot_taken[i] for the running task: scratch memory that no other task uses meanwhile. There is one per thread;
 * should a host run more tasks at once than it said, the rest wait here. */
static int genai__slot_take(genai_ctx *ctx) {
    for (int i = 0;; i = (i + 1) % ctx->desc.threads) {
#if defined(__GNUC__)
        int expected = 0;
        if (__atomic_compare_exchange_n(&ctx->slot_taken[i], &expected, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return i;
#else
        return 0;
#endif
    }
}
static void genai__slot_give(genai_ctx *ctx, int slot) {
#if defined(__GNUC__)
    __atomic_store_n(&ctx->slot_taken[slot], 0, __ATOMIC_RELEASE);
#else
    (void)ctx; (void)slot;
#endif
}

/* ====================================================================================================================
 * >>cpu (private)
 * Which instruction sets this processor and system have. Nothing below asks again.
 * ================================================================================================================= */
GENAI_API const char *genai_isa_name(genai_isa isa) {
    static const char *const name[] = {"best", "scalar", "avx2", "avx512", "neon"};
    return (unsigned)isa < GENAI__COUNT(name) ? name[isa] : "unknown";
}

static int genai__cpu_has(genai_isa isa) {
#if GENAI__X86
    if (isa == GENAI_ISA_AVX2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (isa == GENAI_ISA_AVX512) return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return isa == GENAI_ISA_SCALAR || (isa == GENAI_ISA_NEON && GENAI__ARM);
}

/* ====================================================================================================================
 * >>kernels (private)
 * The table of what each instruction set does, filled once per pass by including this file again: the bodies stand in
 * >>kernel_bodies, last in the file, and are the same text for all. All passes give the same bits: sums run in 16 virtual
 * lanes that are added in a fixed tree, what is fused is written as fma, exp, log and the like are our own polynomials.
 *
 * An elementwise function of one input is one row: y = f(x), then the product of its first derivative with g, and of its
 * second derivative with q. P and Q are its parameters. The words are those of >>kernel_bodies.
 * ================================================================================================================= */
#define GENAI__UNARY_OPS(X)                                                                                            \
    X(scale, GENAI__V_FMA(x, P, Q), GENAI__V_MUL(g, P), GENAI__V_SET(0.0f))                                                                 \
    X(square, GENAI__V_MUL(x, x), GENAI__V_MUL(g, GENAI__V_ADD(x, x)), GENAI__V_ADD(q, q))                                                         \
    X(sqrt, GENAI__V_SQRT(x), GENAI__V_DIV(GENAI__V_MUL(g, GENAI__V_SET(0.5f)), y), GENAI__V_DIV(GENAI__V_MUL(q, GENAI__V_SET(-0.25f)), GENAI__V_MUL(y, x)))                   \
    X(exp, GENAI__V_EXP(x), GENAI__V_MUL(g, y), GENAI__V_MUL(q, y))                                                                         \
    X(log, GENAI__V_LOG(x), GENAI__V_DIV(g, x), GENAI__V_DIV(GENAI__V_NEG(q), GENAI__V_MUL(x, x)))                                                        \
    X(tanh, GENAI__V_TANH(x), GENAI__V_MUL(g, GENAI__V_FNMA(y, y, GENAI__V_SET(1.0f))),                                                            \
      GENAI__V_MUL(q, GENAI__V_MUL(GENAI__V_MUL(GENAI__V_SET(-2.0f), y), GENAI__V_FNMA(y, y, GENAI__V_SET(1.0f)))))                                              \
    X(sigmoid, GENAI__V_SIGMOID(x), GENAI__V_MUL(g, GENAI__V_FNMA(y, y, y)), GENAI__V_MUL(GENAI__V_MUL(q, GENAI__V_FNMA(y, y, y)), GENAI__V_FNMA(GENAI__V_SET(2.0f), y, GENAI__V_SET(1.0f)))) \
    X(softplus, GENAI__V_SOFTPLUS(x), GENAI__V_MUL(g, GENAI__V_SIGMOID(x)), GENAI__V_MUL(q, GENAI__V_FNMA(GENAI__V_SIGMOID(x), GENAI__V_SIGMOID(x), GENAI__V_SIGMOID(x))))     \
    X(relu, GENAI__V_IF_GT(GENAI__V_SET(0.0f), x, GENAI__V_SET(0.0f), x), GENAI__V_IF_GT(x, GENAI__V_SET(0.0f), g, GENAI__V_SET(0.0f)), GENAI__V_SET(0.0f))             \
    X(leaky_relu, GENAI__V_IF_GT(x, GENAI__V_SET(0.0f), x, GENAI__V_MUL(x, P)), GENAI__V_IF_GT(x, GENAI__V_SET(0.0f), g, GENAI__V_MUL(g, P)), GENAI__V_SET(0.0f))       \
    X(elu, GENAI__V_IF_GT(x, GENAI__V_SET(0.0f), x, GENAI__V_MUL(P, GENAI__V_EXPM1(x))), GENAI__V_IF_GT(x, GENAI__V_SET(0.0f), g, GENAI__V_MUL(g, GENAI__V_ADD(y, P))),        \
      GENAI__V_IF_GT(x, GENAI__V_SET(0.0f), GENAI__V_SET(0.0f), GENAI__V_MUL(q, GENAI__V_ADD(y, P))))                                                     \
    X(gelu, GENAI__V_GELU(x), GENAI__V_MUL(g, GENAI__V_GELU_D1(x)), GENAI__V_MUL(q, GENAI__V_GELU_D2(x)))                                                 \
    X(silu, GENAI__V_MUL(x, GENAI__V_SIGMOID(x)), GENAI__V_MUL(g, GENAI__V_SILU_D1(x)), GENAI__V_MUL(q, GENAI__V_SILU_D2(x)))                                    \
    X(abs, GENAI__V_ABS(x), GENAI__V_IF_GT(x, GENAI__V_SET(0.0f), g, GENAI__V_IF_GT(GENAI__V_SET(0.0f), x, GENAI__V_NEG(g), GENAI__V_SET(0.0f))), GENAI__V_SET(0.0f))          \
    X(clamp, GENAI__V_IF_GT(P, x, P, GENAI__V_IF_GT(x, Q, Q, x)), GENAI__V_IF_GT(P, x, GENAI__V_SET(0.0f), GENAI__V_IF_GT(x, Q, GENAI__V_SET(0.0f), g)), GENAI__V_SET(0.0f))

/*     name          y = f(a, b) */
#define GENAI__BINARY_OPS(X)                                                                                           \
    X(add, GENAI__V_ADD(a, b))                                                                                                \
    X(sub, GENAI__V_SUB(a, b))                                                                                                \
    X(mul, GENAI__V_MUL(a, b))                                                                                                \
    X(div, GENAI__V_DIV(a, b))                                                                                                \
    X(min, GENAI__V_IF_GT(a, b, b, a))                                                                                        \
    X(max, GENAI__V_IF_GT(b, a, b, a))                                                                                        \
    X(greater, GENAI__V_IF_GT(a, b, GENAI__V_SET(1.0f), GENAI__V_SET(0.0f)))

typedef struct genai__unary {
    void (*f)(size_t n, const float *x, float *y, float p, float q);
    void (*d1)(size_t n, const float *g, const float *x, const float *y, float *to, float p, float q);
    void (*d2)(size_t n, const float *g, const float *h, const float *x, const float *y, float *to, float p, float q);
} genai__unary;

/* a and b advance by their step, 0 or 1. */
typedef void genai__binary(size_t n, const float *a, size_t a_step, const float *b, size_t b_step, float *y);

/* C tile = (add ? C : 0) + A B over depth k, each element one chain of fma in order of k, + bias unless that is NULL. A[i][p] = a[i*a_row + p*a_col];
 * B's 16-column panel v begins at b + v*b_panel and advances by b_row; c has row length c_row. */
typedef void genai__tile(size_t k, const float *a, size_t a_row, size_t a_col, const float *b, size_t b_row, size_t b_panel, float *c,
                         size_t c_row, int add, const float *bias);

typedef struct genai__update { /* one optimiser step; the gradient is g = clamp(gradient*scale, +-clip) + decay*p */
    float lr, beta1, beta2, eps, momentum, decay, decoupled, scale, clip, correction1, correction2;
    int   nesterov;
} genai__update;

#define GENAI__TILES 4
struct genai__kernels {
    genai_isa    isa;
    int          panels;                /* widest tile, in 16-column panels                             */
    int          rows[GENAI__TILES];    /* tile heights, falling, ending with 1                         */
    genai__tile *tile[3][GENAI__TILES]; /* [panels-1][which height]                                     */
#define GENAI__X(name, f, d1, d2) genai__unary name;
    GENAI__UNARY_OPS(GENAI__X)
#undef GENAI__X
#define GENAI__X(name, f) genai__binary *name;
    GENAI__BINARY_OPS(GENAI__X)
#undef GENAI__X
    float (*sum)(size_t n, const float *x);
    float (*sum_squares)(size_t n, const float *x);
    float (*maximum)(size_t n, const float *x);
    void (*add_to)(size_t n, float *y, const float *x);                                     /* y += x                     */
    void (*lerp)(size_t n, float *y, const float *x, float keep);                           /* y = keep*y + (1-keep)*x    */
    void (*column_sums)(size_t rows, size_t n, const float *x, float *y);                   /* y[n] = sum over rows       */
    void (*column_squares)(size_t rows, size_t n, const float *x, const float *mean, float *y); /* sum of (x-mean)^2      */
    void (*column_affine)(size_t rows, size_t n, const float *x, const float *scale, const float *shift, float *y); /* x*scale + shift */
    void (*column_products)(size_t rows, size_t n, const float *g, const float *x, const float *mean, float *sum_g, float *sum_gx); /* sums of g and g*(x-mean) */
    void (*column_combine)(size_t rows, size_t n, const float *g, const float *x, const float *a, const float *b, const float *c, float *y); /* g*a + x*b + c */
    /* >>conv, Winograd's transforms: inputs or gradients, weights of 16 columns, outputs, gradients of weights */
    void (*winograd_windows)(size_t n, const float *const d[16], int products_h, int products_w, float *to, size_t product);
    void (*winograd_gradients)(size_t n, const float *const d[4], int products_h, int products_w, float *to, size_t product);
    void (*winograd_weights)(size_t rows, size_t n, size_t row, const float *const tap[9], int taps_h, int taps_w, float *to, size_t product, size_t to_row);
    void (*winograd_outputs)(size_t n, const float *m, size_t product, int products_h, int products_w, const float *bias, float *const y[4]);
    void (*winograd_taps)(size_t n, const float *m, size_t product, int taps_h, int taps_w, float *const tap[9]);
    void (*transpose)(size_t n, const float *x, size_t x_row, float *y);                    /* y[n][16] from x[16][n]     */
    void (*panels_of)(size_t rows, size_t n, const float *x, size_t x_row, float *y, size_t panel); /* y[n/16][rows][16] from x[rows][n], n by 16 */
    void (*dropout)(size_t n, const float *u, const float *x, float *y, float p, float q);  /* u > p ? q*x : -0           */
    void (*dropout_d1)(size_t n, const float *g, const float *y, float *to, float q);       /* y is -0 ? 0 : q*g          */
    /* y[4][16] from Philox of the counters index..index+15: in [0,1), or the first half in (0,1] */
    void (*uniforms)(uint64_t key, uint32_t index, uint32_t c1, uint32_t c2, uint32_t c3, int above_zero, float *y);
    void (*normal_pairs)(size_t n, float *u, float *v);                                     /* Box-Muller in place: u in (0,1], v in [0,1) */
    void (*adam)(size_t n, float *p, const float *g, float *m, float *v, const genai__update *u);
    void (*sgd)(size_t n, float *p, const float *g, float *m, const genai__update *u);      /* m NULL: no momentum        */
    void (*rmsprop)(size_t n, float *p, const float *g, float *v, float *m, const genai__update *u);
};

#ifndef GENAI_HEADER_FILENAME
#define GENAI_HEADER_FILENAME "genai.h"
#endif
#if defined(__clang__)
#define GENAI__TARGET_BEGIN_AVX2 _Pragma("clang attribute push(__attribute__((target(\"avx2,fma\"))), apply_to = function)")
#define GENAI__TARGET_BEGIN_AVX512 _Pragma("clang attribute push(__attribute__((target(\"avx512f,avx2,fma\"))), apply_to = function)")
#define GENAI__TARGET_END _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#define GENAI__TARGET_BEGIN_AVX2 _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma\")")
#define GENAI__TARGET_BEGIN_AVX512 _Pragma("GCC push_options") _Pragma("GCC target(\"avx512f,avx2,fma\")")
#define GENAI__TARGET_END _Pragma("GCC pop_options")
#endif

#define GENAI__PASS 1 /* scalar: always there, and what the others are tested against */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("O1", "no-fast-math", "fp-contract=off", "no-math-errno")
#endif
#include GENAI_HEADER_FILENAME
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
#if GENAI__X86
GENAI__TARGET_BEGIN_AVX2
#define GENAI__PASS 2
#include GENAI_HEADER_FILENAME
GENAI__TARGET_END
GENAI__TARGET_BEGIN_AVX512
#define GENAI__PASS 3
#include GENAI_HEADER_FILENAME
GENAI__TARGET_END
#endif
#if GENAI__ARM
#define GENAI__PASS 4
#include GENAI_HEADER_FILENAME
#endif

/* The kernels of isa, or of the best there is; NULL if this processor or build hasn't got it. */
static const genai__kernels *genai__choose_kernels(genai_isa isa) {
#if GENAI__X86
    if ((isa == GENAI_ISA_AVX512 || isa == GENAI_ISA_BEST) && genai__cpu_has(GENAI_ISA_AVX512)) return &genai__kernels_avx512;
    if ((isa == GENAI_ISA_AVX2 || isa == GENAI_ISA_BEST) && genai__cpu_has(GENAI_ISA_AVX2)) return &genai__kernels_avx2;
#endif
#if GENAI__ARM
    if ((isa == GENAI_ISA_NEON || isa == GENAI_ISA_BEST) && genai__cpu_has(GENAI_ISA_NEON)) return &genai__kernels_neon;
#endif
    return isa == GENAI_ISA_BEST || (isa == GENAI_ISA_SCALAR && genai__cpu_has(GENAI_ISA_SCALAR)) ? &genai__kernels_scalar : NULL;
}

/* --- kernels over whole arrays: in fixed chunks, so that no result depends on the number of threads --- */
#define GENAI__CHUNK 16384

typedef struct genai__chunks {
    size_t n;
    void (*f)(void *arg, size_t from, size_t count);
    void  *arg;
} genai__chunks;

static void genai__chunks_task(void *arg, int index) {
    const genai__chunks *job = (const genai__chunks *)arg;
    size_t               from = (size_t)index * GENAI__CHUNK;
    job->f(job->arg, from, job->n - from < GENAI__CHUNK ? job->n - from : GENAI__CHUNK);
}

/* f(arg, from, count) for all of 0..n-1; GENAI_OK, which serves whoever ends with it. */
static genai_result genai__for_chunks(genai_ctx *ctx, size_t n, void (*f)(void *arg, size_t from, size_t count), void *arg) {
    size_t        tasks = (n + GENAI__CHUNK - 1) / GENAI__CHUNK, from;
    genai__chunks job = {n, f, arg};
    if (tasks <= GENAI__MAX_TASKS) genai__parallel(ctx, (int)tasks, genai__chunks_task, &job);
    else for (from = 0; from < n; from += GENAI__CHUNK) f(arg, from, n - from < GENAI__CHUNK ? n - from : GENAI__CHUNK);
    return GENAI_OK;
}

typedef struct genai__row_job {
    size_t rows, per_task;
    void (*f)(void *arg, size_t row);
    void  *arg;
} genai__row_job;

static void genai__row_task(void *arg, int index) {
    const genai__row_job *job = (const genai__row_job *)arg;
    size_t                row = (size_t)index * job->per_task, end = row + job->per_task < job->rows ? row + job->per_task : job->rows;
    for (; row < end; row++) job->f(job->arg, row);
}

/* f(arg, row) for rows 0..rows-1 of about `width` values each; short ones share a task. */
static genai_result genai__for_rows(genai_ctx *ctx, size_t rows, size_t width, void (*f)(void *arg, size_t row), void *arg) {
    genai__row_job job = {rows, GENAI__CHUNK / width + 1, f, arg};
    while ((rows + job.per_task - 1) / job.per_task > GENAI__MAX_TASKS) job.per_task *= 2;
    genai__parallel(ctx, (int)((rows + job.per_task - 1) / job.per_task), genai__row_task, &job);
    return GENAI_OK;
}

/* --- random arrays: value i depends on (key, stream, step, draw, i) alone --- */
typedef struct genai__random {
    genai_ctx *ctx;
    uint32_t   stream, draw;
    uint64_t   key, step;
    float     *out;
    int        normal;
} genai__random;

/* A block: 64 values, the four words of 16 counters; a normal is made from value j and j+32 of its block. */
#define GENAI__RANDOM 64
static void genai__random_block(const genai__random *r, size_t block, float *to) {
    r->ctx->kernels->uniforms(r->key, (uint32_t)(block * 16), r->draw, (uint32_t)r->step, genai__stream_word(r->stream, r->step), r->normal, to);
    if (r->normal) r->ctx->kernels->normal_pairs(32, to, to + 32);
}

static void genai__random_chunk(void *arg, size_t from, size_t count) {
    const genai__random *r = (const genai__random *)arg;
    float                last[GENAI__RANDOM];
    size_t               i;
    for (i = from; i + GENAI__RANDOM <= from + count; i += GENAI__RANDOM) genai__random_block(r, i / GENAI__RANDOM, r->out + i);
    if (i < from + count) {
        genai__random_block(r, i / GENAI__RANDOM, last);
        memcpy(r->out + i, last, (from + count - i) * sizeof *last);
    }
}

static void genai__random_fill(genai_ctx *ctx, int normal, uint64_t key, uint32_t stream, uint64_t step, uint32_t draw, size_t n, float *out) {
    genai__random r = {ctx, stream, draw, key, step, out, normal};
    uint64_t      mode = genai__fp_enter();
    genai__trace(ctx, "random", 0, 0, 0);
    genai__for_chunks(ctx, n, genai__random_chunk, &r);
    genai__trace(ctx, "random", 0, 1, (double)n * sizeof(float));
    genai__fp_leave(mode);
}

/* Standard normals by Box and Muller (1958), and uniforms in [0,1). */
static void genai__normal(genai_ctx *ctx, uint64_t key, uint32_t stream, uint64_t step, uint32_t draw, size_t n, float *out) {
    genai__random_fill(ctx, 1, key, stream, step, draw, n, out);
}
static void genai__uniform(genai_ctx *ctx, uint64_t key, uint32_t stream, uint64_t step, uint32_t draw, size_t n, float *out) {
    genai__random_fill(ctx, 0, key, stream, step, draw, n, out);
}

/* ====================================================================================================================
 * >>context (private)
 * Made and freed here, below the rooms whose parts it holds.
 * ================================================================================================================= */
#define GENAI__BLOCK_ROWS 128    /* >>gemm: rows, depth and columns of the block that one task works on: A 256 KB and C up */
#define GENAI__BLOCK_DEPTH 512   /* to 256 KB in a second-level cache of 1 MB, B's panels (48 columns: 96 KB) run past;   */
#define GENAI__BLOCK_COLUMNS 512 /* the 8 rows of A that a tile reads again and again, 16 KB, in the first-level cache    */
#define GENAI__PACK_COLUMNS 96   /* columns of B that are packed at a time: 192 KB                                        */
#define GENAI__SLOT_C (GENAI__BLOCK_ROWS * GENAI__BLOCK_DEPTH) /* in a slot: A's block, C's block, packed B               */
#define GENAI__SLOT_B (GENAI__SLOT_C + GENAI__BLOCK_ROWS * GENAI__BLOCK_COLUMNS)
#define GENAI__SLOT (GENAI__SLOT_B + GENAI__BLOCK_DEPTH * GENAI__PACK_COLUMNS)
#define GENAI__WINOGRAD_TILES 48 /* >>conv uses a slot for transformed windows, [product][tile][depth], 221 KB, and their  */
#define GENAI__WINOGRAD_DEPTH 128 /* products, [product][tile][column], 332 KB; 16 products in the place of 9 are narrower. */
#define GENAI__WINOGRAD_COLUMNS 192 /* 48 is a multiple of every tile height                                                */
#define GENAI__WINOGRAD_PACK (9 * (GENAI__WINOGRAD_TILES * GENAI__WINOGRAD_DEPTH + 16))
#define GENAI__WINOGRAD_BLOCK (9 * (GENAI__WINOGRAD_TILES * GENAI__WINOGRAD_COLUMNS + 16))
#if GENAI__SLOT < GENAI__WINOGRAD_PACK + GENAI__WINOGRAD_BLOCK
#error a slot is too small
#endif

GENAI_API genai_ctx *genai_ctx_create(const genai_ctx_desc *desc) {
    genai_ctx_desc d = GENAI__ZEROED;
    genai_ctx     *ctx;
    char           text[128] = "";
    if (desc) d = *desc;
    if (!d.allocator.alloc || !d.allocator.free) {
        d.allocator.alloc = genai__malloc;
        d.allocator.free = genai__libc_free;
    }
    if (!d.io.open) d.io = genai__default_io();
    if (d.threads < 0 || d.threads > GENAI__MAX_THREADS)
        snprintf(text, sizeof text, "threads is %d, but must be 0 (one per core) or 1 to %d", d.threads, GENAI__MAX_THREADS);
    else if (!genai__choose_kernels(d.isa))
        snprintf(text, sizeof text, "this processor or build hasn't got the instruction set %s", genai_isa_name(d.isa));
    ctx = text[0] ? NULL : (genai_ctx *)d.allocator.alloc(d.allocator.user, sizeof *ctx);
    if (!ctx) {
        genai__log_to(&d, GENAI_LOG_ERROR, text[0] ? text : "out of memory: the context could not be allocated");
        return NULL;
    }
    memset(ctx, 0, sizeof *ctx);
    if (!d.threads) d.threads = genai__cores();
    ctx->desc = d;
    ctx->kernels = genai__choose_kernels(d.isa);
    ctx->desc.isa = ctx->kernels->isa;
    ctx->blocks.next = ctx->blocks.previous = &ctx->blocks;
    ctx->free_pieces.next = ctx->free_pieces.previous = &ctx->free_pieces;
    ctx->recording = 1;
    ctx->slots = (float *)genai__alloc(ctx, (size_t)d.threads * GENAI__SLOT, sizeof(float));
    if (!ctx->slots) {
        genai_ctx_destroy(ctx);
        return NULL;
    }
#ifndef GENAI_NO_THREADS
    if (!d.parallel_for) genai__pool_start(ctx, d.threads);
#endif
    if (GENAI__UNOPTIMISED) genai__warn(ctx, "clang compiled genai.h without optimisation, which makes it about 50 times slower: compile with -O2");
    return ctx;
}

GENAI_API void genai_ctx_destroy(genai_ctx *ctx) {
    genai__block *block, *next;
    if (!ctx) return;
#ifndef GENAI_NO_THREADS
    if (ctx->pool.workers) genai__pool_stop(&ctx->pool);
#endif
    for (block = ctx->blocks.next; block != &ctx->blocks; block = next) {
        next = block->next;
        ctx->desc.allocator.free(ctx->desc.allocator.user, block->raw);
    }
    ctx->desc.allocator.free(ctx->desc.allocator.user, ctx);
}

GENAI_API genai_isa genai_ctx_isa(const genai_ctx *ctx) { return ctx ? ctx->desc.isa : GENAI_ISA_BEST; }
GENAI_API int       genai_ctx_threads(const genai_ctx *ctx) { return ctx ? ctx->desc.threads : 0; }

/* ====================================================================================================================
 * >>gemm (private)
 * One matrix product for everything: C = A B + bias, where A and B are read in place if their elements lie in a fixed
 * stride, or else are delivered by a packer, block by block (image windows, transposes, stride phases of a convolution).
 * Goto and van de Geijn 2008 is the pattern. C is cut into blocks that are independent tasks; inside a block, k runs in
 * steps of BLOCK_DEPTH whose tiles start from C, so that each element is one chain of fma over k in order, whatever the
 * tile, block, thread or instruction set: the promise of equal bits rests on this. Where C is one block high, each task
 * packs the B it needs into its slot and uses it at once; else all of B is packed before.
 * ================================================================================================================= */

/* Copies A's rows i..i+rows, columns p..p+depth to `to`, [rows][depth]. */
typedef void genai__pack(const void *source, size_t i, size_t rows, size_t p, size_t depth, float *to);

typedef struct genai__gemm {
    size_t       m, n, k;
    const float *a;          /* A[i][p] = a[i*a_row + p*a_col]                                              */
    size_t       a_row, a_col;
    genai__pack *pack_a;     /* if not NULL it delivers A instead ...                                       */
    int          a_swapped;  /* ... with rows and columns swapped: A[i][p] is its (p, i)                    */
    const float *b;          /* B[p][j] = b[p*b_row + j*b_col]                                              */
    size_t       b_row, b_col;
    genai__pack *pack_b;     /* if not NULL it delivers B's transpose: rows j, columns p                    */
    float       *c;          /* C[i][j] = c[i*c_row + j]                                                    */
    size_t       c_row;
    float     *(*place)(const void *source, size_t i); /* if not NULL: where row i of C begins             */
    const void  *source;     /* what pack_a, pack_b, place are called with                                  */
    const float *bias;       /* n values added to each row, or NULL                                         */
    const struct genai__kept *kept; /* if not NULL: B is packed by itself into `room`, or stands there if `ready` */
    float       *room;
    int          ready;
    /* private to this room */
    genai_ctx *ctx;
    int        serial;       /* too small to share out: the caller does it all, in the first slot          */
    int        packing;      /* B is read from panels: all of it packed before, or by each task what it needs */
    int        copy_a;       /* A is copied into the slot, since its rows lie too far apart for the caches  */
    size_t     rows, columns, row_blocks, column_blocks, parts, depth;
    size_t     step;         /* k at a time                                                                 */
    float     *packed;       /* B as [strips of step][n/16][depth][16]                               */
    float     *partial;      /* [parts][m][n to the next 16]                                                */
} genai__gemm;

/* C [m,n] = A [m,k] B [k,n] with all three in rows: what to begin with. */
static genai__gemm genai__product(size_t m, size_t n, size_t k) {
    genai__gemm g = GENAI__ZEROED;
    g.m = m;
    g.n = g.b_row = g.c_row = n;
    g.k = g.a_row = k;
    g.a_col = g.b_col = 1;
    return g;
}

/* Weights in the order in which products read them, kept from call to call for nets in use (>>net). */
typedef struct genai__kept {
    float       *data;
    size_t       size;     /* room, in values                                               */
    int          form;     /* what they are packed for; 0: nothing yet, or they have changed */
    const float *scale;    /* what each output channel's weights are multiplied with, or NULL */
    size_t       channels;
} genai__kept;
enum { GENAI__KEPT_PRODUCT = 1, GENAI__KEPT_PHASES, GENAI__KEPT_FEW, GENAI__KEPT_WINOGRAD };

GENAI__INLINE size_t genai__round16(size_t n) { return (n + 15) & ~(size_t)15; }
GENAI__INLINE size_t genai__smaller(size_t a, size_t b) { return a < b ? a : b; }
GENAI__INLINE size_t genai__blocks(size_t n, size_t size) { return n <= size ? 1 : (n + size - 1) / size; } /* a division is slow */

/* Room for `count` values at *p, where there was room for *size; what stood there is lost. */
static float *genai__larger(genai_ctx *ctx, float **p, size_t *size, size_t count) {
    if (count <= *size) return *p;
    genai__free(ctx, *p);
    *p = (float *)genai__alloc(ctx, count, sizeof(float));
    *size = *p ? count : 0;
    return *p;
}

/* Memory that holds until the next call; grows to the largest need and stays: as pieces it would leave gaps among values. */
static float *genai__workspace(genai_ctx *ctx, size_t count) { return genai__larger(ctx, &ctx->workspace, &ctx->workspace_size, count); }

/* Memory for packed weights: what is kept, or else the workspace. *ready: they stand there. */
static float *genai__packed_room(genai_ctx *ctx, genai__kept *kept, int form, size_t width, size_t depth, int *ready) {
    size_t size;
    if (!genai__mul(width, depth, &size))
        return genai__fail(ctx, GENAI_ERROR_MEMORY, "packed weights of %zu by %zu are too large", width, depth), GENAI__NULL;
    *ready = kept && kept->form == form;
    if (!kept) return genai__workspace(ctx, size);
    if (*ready) return kept->data;
    kept->form = genai__larger(ctx, &kept->data, &kept->size, size) ? form : 0;
    return kept->data;
}

/* Panels [depth][16] of columns j.. to end; column j belongs to output channel j % channels. */
static void genai__scale_panels(const genai__kept *kept, size_t j, size_t end, size_t depth, float *panel) {
    float scale[16];
    if (!kept || !kept->scale) return;
    for (; j < end; j += 16) {
        for (size_t l = 0; l < 16; l++) scale[l] = j + l < end ? kept->scale[(j + l) % kept->channels] : 0.0f;
        for (size_t p = 0; p < depth; p++, panel += 16)
            for (size_t l = 0; l < 16; l++) panel[l] *= scale[l];
    }
}

/* B's columns j..j+columns, k in p..p+depth, as panels [depth][16] that begin `panel` floats apart. What stands in columns beyond B's last one doesn't matter. */
static void genai__gemm_pack(const genai__gemm *g, size_t j, size_t columns, size_t p, size_t depth, float *to, size_t panel) {
    const genai__kernels *kernels = g->ctx->kernels;
    const float          *b = g->b ? g->b + p * g->b_row + j * g->b_col : NULL;
    float                 buffer[16 * 64]; /* what can be neither copied nor transposed where it stands: 4 KB of it at a time */
    size_t                done = 0, q, l, count, width;
    if (!g->pack_b && g->b_col == 1) kernels->panels_of(depth, done = columns & ~(size_t)15, b, g->b_row, to, panel);
    else if (!g->pack_b && g->b_row == 1)
        for (; done + 16 <= columns; done += 16) kernels->transpose(depth, b + done * g->b_col, g->b_col, to + done / 16 * panel);
    for (; done < columns; done += 16) {
        width = genai__smaller(16, columns - done);
        if (width < 16) memset(buffer, 0, sizeof buffer);
        for (q = 0; q < depth; q += count) {
            count = genai__smaller(64, depth - q);
            if (g->pack_b) g->pack_b(g->source, j + done, width, p + q, count, buffer);
            else
                for (l = 0; l < width * count; l++) buffer[l] = b[(q + l % count) * g->b_row + (done + l / count) * g->b_col];
            kernels->transpose(count, buffer, count, to + done / 16 * panel + q * 16);
        }
    }
}

static void genai__gemm_pack_task(void *arg, int index) {
    const genai__gemm *g = (const genai__gemm *)arg;
    size_t             strips = genai__blocks(g->k, g->step);
    size_t             p = (size_t)index % strips * g->step, j = (size_t)index / strips * GENAI__PACK_COLUMNS;
    size_t             depth = genai__smaller(g->step, g->k - p), columns = genai__smaller(GENAI__PACK_COLUMNS, g->n - j);
    float             *to = g->packed + p * genai__round16(g->n) + j * depth;
    genai__gemm_pack(g, j, columns, p, depth, to, depth * 16);
    genai__scale_panels(g->kept, j, j + columns, depth, to);
}

/* A's rows i0.., k in p.. as the tiles shall read it: in place, or copied into `pack`. */
static const float *genai__gemm_a(const genai__gemm *g, size_t i0, size_t rows, size_t p, size_t depth, float *pack, size_t *a_row, size_t *a_col) {
    const float *a = g->a ? g->a + i0 * g->a_row + p * g->a_col : NULL;
    int          swapped = g->pack_a ? g->a_swapped : g->a_row == 1;
    *a_row = g->a_row;
    *a_col = g->a_col;
    if (!g->pack_a && !g->copy_a) return a;
    *a_row = swapped ? 1 : depth;
    *a_col = swapped ? rows : 1;
    if (g->pack_a && swapped) g->pack_a(g->source, p, depth, i0, rows, pack);
    else if (g->pack_a) g->pack_a(g->source, i0, rows, p, depth, pack);
    else if (swapped)
        for (size_t i = 0; i < depth; i++) memcpy(pack + i * rows, a + i * g->a_col, rows * sizeof *pack);
    else
        for (size_t i = 0; i < rows; i++) memcpy(pack + i * depth, a + i * g->a_row, depth * sizeof *pack);
    return pack;
}

/* C [rows][columns to the next 16] = A B, or += if `add`, + bias unless that is NULL, tile by tile. */
static void genai__block_tiles(const genai__kernels *kernels, size_t rows, size_t columns, size_t depth, const float *a, size_t a_row, size_t a_col,
                               const float *b, size_t b_row, size_t b_panel, float *c, size_t c_row, int add, const float *bias) {
    size_t i, l, left, panels;
    for (left = (columns + 15) / 16; left; left -= panels) {
        int height = 0, ahead = b_row == 16 && kernels->panels == 1 && left > 1;
        panels = genai__smaller(left == 4 ? 2 : left, (size_t)kernels->panels);
        for (i = 0; i < rows; i += (size_t)kernels->rows[height]) {
            while ((size_t)kernels->rows[height] > rows - i) height++;
            if (ahead) /* 16 columns of B are soon used up: a share of the next ones comes nearer with each tile */
                for (l = i * depth * 16 / rows; l < (i + (size_t)kernels->rows[height]) * depth * 16 / rows; l += 16) GENAI__PREFETCH(b + b_panel + l);
            kernels->tile[panels - 1][height](depth, a + i * a_row, a_row, a_col, b, b_row, b_panel, c + i * c_row, c_row, add, bias);
        }
        b += panels * b_panel;
        c += panels * 16;
        if (bias) bias += panels * 16;
    }
}

/* C block [rows][columns to the next 16] at c = A B for k in p0..p1. */
static void genai__gemm_block(const genai__gemm *g, size_t i0, size_t rows, size_t j0, size_t columns, size_t p0, size_t p1, float *slot,
                              float *c, size_t c_row, const float *bias) {
    const genai__kernels *kernels = g->ctx->kernels;
    size_t                p, depth, i;
    if (p0 == p1)
        for (i = 0; i < rows; i++) memset(c + i * c_row, 0, genai__round16(columns) * sizeof *c);
    for (p = p0; p < p1; p += depth) {
        const float *a, *b = g->packing ? NULL : g->b + p * g->b_row + j0;
        size_t       a_row, a_col, b_row = g->b_row, b_panel = 16;
        depth = genai__smaller(g->step, p1 - p);
        a = genai__gemm_a(g, i0, rows, p, depth, slot, &a_row, &a_col);
        if (g->packing) {
            float *own = slot + GENAI__SLOT_B;
            b = g->packed ? g->packed + p * genai__round16(g->n) + j0 * depth : own;
            b_row = 16;
            b_panel = 16 * depth;
            if (!g->packed) genai__gemm_pack(g, j0, columns, p, depth, own, b_panel);
        }
        genai__block_tiles(kernels, rows, columns, depth, a, a_row, a_col, b, b_row, b_panel, c, c_row, p > p0, p + depth == p1 ? bias : NULL);
    }
}

static void genai__gemm_task(void *arg, int index) {
    const genai__gemm *g = (const genai__gemm *)arg;
    unsigned           t = (unsigned)index, across = (unsigned)g->column_blocks, down = (unsigned)g->row_blocks;
    size_t             part = t / (across * down), i0 = t / across % down * g->rows, j0 = t % across * g->columns;
    size_t             rows = genai__smaller(g->rows, g->m - i0), columns = genai__smaller(g->columns, g->n - j0), i;
    size_t             p0 = part * g->depth, p1 = genai__smaller(p0 + g->depth, g->k);
    int                taken = g->serial ? 0 : genai__slot_take(g->ctx);
    float             *slot = g->ctx->slots + (size_t)taken * GENAI__SLOT;
    if (g->parts > 1) {
        size_t width = genai__round16(g->n);
        genai__gemm_block(g, i0, rows, j0, columns, p0, p1, slot, g->partial + (part * g->m + i0) * width + j0, width, NULL);
    } else {
        int    direct = !g->place && columns % 16 == 0 && !(g->copy_a && g->k > g->step);
        size_t width = direct ? g->c_row : genai__round16(columns);
        float *block = direct ? g->c + i0 * g->c_row + j0 : slot + GENAI__SLOT_C;
        int    late = g->bias && (columns % 16 || !g->k); /* tiles read whole panels of it, after their last product */
        genai__gemm_block(g, i0, rows, j0, columns, p0, p1, slot, block, width, g->bias && !late ? g->bias + j0 : NULL);
        for (i = 0; i < rows && (!direct || late); i++) {
            float *to = (g->place ? g->place(g->source, i0 + i) : g->c + (i0 + i) * g->c_row) + j0;
            if (!direct) memcpy(to, block + i * width, columns * sizeof *to);
            if (late) g->ctx->kernels->add_to(columns, to, g->bias + j0);
        }
    }
    if (!g->serial) genai__slot_give(g->ctx, taken);
}

/* Adds the parts of 64 rows in order. */
static void genai__gemm_add_parts(void *arg, int index) {
    const genai__gemm *g = (const genai__gemm *)arg;
    size_t             i, j, part, width = genai__round16(g->n), end = genai__smaller(((size_t)index + 1) * 64, g->m);
    for (i = (size_t)index * 64; i < end; i++) {
        float *first = g->partial + i * width, *to = g->place ? g->place(g->source, i) : g->c + i * g->c_row;
        for (part = 1; part < g->parts; part++) g->ctx->kernels->add_to(width, first, first + part * g->m * width);
        for (j = 0; j < g->n; j++) to[j] = g->bias ? first[j] + g->bias[j] : first[j];
    }
}

static void genai__gemm_tasks(genai__gemm *g, size_t n, void (*task)(void *, int)) {
    if (!g->serial) genai__parallel(g->ctx, (int)n, task, g);
    else for (int i = 0; i < (int)n; i++) task(g, i);
}

/* Computes g. Where C is small and k long, k is cut into parts whose number depends on the shape only; their sums are added in order. Errors: memory. */
static genai_result genai__gemm_run(genai_ctx *ctx, genai__gemm *g) {
    size_t width = genai__round16(g->n), blocks, pack_size = 0, partial_size = 0, tasks, strips;
    double work = 2.0 * (double)g->m * (double)g->n * (double)g->k;
    size_t threads = (size_t)ctx->desc.threads;
    int    own = g->m <= GENAI__BLOCK_ROWS, pack;
    g->ctx = ctx;
    g->step = ctx->kernels->panels > 1 ? GENAI__BLOCK_DEPTH : GENAI__BLOCK_DEPTH / 2; /* 16 columns of B alone are read by all rows: 16 KB */
    /* B's rows in place serve as long as they stay in the second-level cache; A's as long as they don't fall on the same
     * few lines of the first (4 KB apart). A block of C that is gone over several times is computed in the slot then. */
    g->packing = g->kept || g->pack_b || g->b_col != 1 || g->n % 16 || (own ? g->m > 16 && g->k * g->n > ((size_t)1 << 19) : g->b_row > 256);
    g->copy_a = !g->pack_a && g->n > 192 && g->m > 64 && (g->a_col == 1 ? g->a_row >= 1024 : g->a_row == 1 && g->a_col >= 1024);
    pack = g->packing && g->k && !own && !g->kept;
    g->rows = own ? g->m : g->m > 4096 || g->copy_a ? GENAI__BLOCK_ROWS : 64;
    g->columns = genai__smaller(width, (g->pack_a || g->copy_a) && g->m > 256 ? GENAI__BLOCK_COLUMNS : g->packing && own ? GENAI__PACK_COLUMNS : 192);
    /* This decides about parts, so about bits: neither tiles nor how A and B are stored may come in. */
    blocks = genai__blocks(g->m, own ? g->m : g->m > 4096 ? GENAI__BLOCK_ROWS : 64) * genai__blocks(g->n, g->pack_a && g->m > 256 ? GENAI__BLOCK_COLUMNS : 192);
    g->parts = 1;
    while (!g->kept && blocks * g->parts < 16 && g->parts < 16 && g->k >= g->parts * 2048) g->parts *= 2;
    g->depth = genai__blocks(g->k, g->parts);
    if (g->parts > 1) {
        g->depth = genai__blocks(g->depth, GENAI__BLOCK_DEPTH) * GENAI__BLOCK_DEPTH;
        g->parts = genai__blocks(g->k, g->depth);
    }
    if (!own && g->rows == GENAI__BLOCK_ROWS) g->rows -= g->rows % (size_t)ctx->kernels->rows[0]; /* whole tiles, which changes no bit */
    g->row_blocks = genai__blocks(g->m, g->rows);
    blocks = g->row_blocks * genai__blocks(g->n, g->columns);
    if (threads > 1 && blocks * g->parts < 4 * threads) { /* narrower ones, which changes no bit: an equal share, or 48 columns and more */
        size_t panels = width / 16 * g->row_blocks * g->parts;
        g->columns = genai__smaller(g->columns, 16 * (panels <= 6 * threads ? genai__blocks(panels, threads) : 3 * (1 + panels / (12 * threads))));
    }
    g->column_blocks = genai__blocks(g->n, g->columns);
    tasks = g->row_blocks * g->column_blocks * g->parts;
    g->serial = work < 4e5 || tasks == 1;
    strips = genai__blocks(g->n, GENAI__PACK_COLUMNS) * genai__blocks(g->k, g->step);
    if (tasks > GENAI__MAX_TASKS || (g->packing && strips > GENAI__MAX_TASKS))
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "a matrix product of %zu by %zu by %zu is too large", g->m, g->n, g->k);
    if ((pack && !genai__mul(width, g->k, &pack_size)) ||
        (g->parts > 1 && (!genai__mul(g->parts * g->m, width, &partial_size) || !genai__add(pack_size, partial_size, &partial_size))))
        return genai__fail(ctx, GENAI_ERROR_MEMORY, "a matrix product of %zu by %zu by %zu needs too much memory", g->m, g->n, g->k);
    if (g->parts > 1) partial_size -= pack_size;
    g->packed = g->room;
    g->partial = NULL;
    if (pack_size + partial_size) {
        float *memory = genai__workspace(ctx, pack_size + partial_size);
        if (!memory) return GENAI_ERROR_MEMORY;
        if (pack) g->packed = memory;
        g->partial = memory + pack_size;
    }
    if (pack || (g->kept && !g->ready)) genai__gemm_tasks(g, strips, genai__gemm_pack_task);
    genai__gemm_tasks(g, tasks, genai__gemm_task);
    if (g->parts > 1) genai__parallel(ctx, (int)((g->m + 63) / 64), genai__gemm_add_parts, g);
    return GENAI_OK;
}

/* The same with B packed in `kept`, unless that is NULL. Then k isn't cut into parts: a row's bits don't depend on how many there are. */
static genai_result genai__gemm_kept(genai_ctx *ctx, genai__gemm *g, genai__kept *kept) {
    g->kept = kept;
    if (kept) g->room = genai__packed_room(ctx, kept, GENAI__KEPT_PRODUCT, genai__round16(g->n), g->k, &g->ready);
    genai_result result = kept && !g->room ? GENAI_ERROR_MEMORY : genai__gemm_run(ctx, g);
    if (kept && result) kept->form = 0;
    return result;
}

/* ====================================================================================================================
 * >>conv (private)
 * A convolution and its two gradients are matrix products with image windows as A: forward [pixels, K*K*C] W; weight
 * gradient windows' dy, summed over pixels; input gradient, which is also the transposed convolution, as one product for
 * each stride phase: the output pixels with equal (y + pad) mod stride see the same taps of W, and what they see of dy is
 * a window with stride 1 (Dumoulin and Visin 2016, section 4). Two ways are faster and taken where they are, by the shape
 * alone: Winograd's, where there are many channels; one product for all taps, for input gradients to few channels.
 * ================================================================================================================= */
typedef struct genai__conv { /* y[n,oh,ow,m] from x[n,h,w,c] and w[kh,kw,c,m] */
    int n, h, w, c, oh, ow, m, kh, kw, stride_h, stride_w, top, left;
} genai__conv;

typedef struct genai__windows { /* rows: the pixels [n, rows, columns]; columns: the window's kh*kw*c values */
    const float *x;
    int          h, w, c, rows, columns, kh, kw, stride_h, stride_w, top, left;
    /* of an input gradient: where the phase's pixels go, and its taps of the weights */
    float       *to;
    const float *weights;
    int          to_h, to_w, first_h, first_w, step_h, step_w, to_c, tap_h, tap_w, weights_kw;
} genai__windows;

/* Short runs are copied here: a call would cost more than the copy. */
GENAI__INLINE void genai__copy_run(float *to, const float *from, size_t n) {
    if (n > 32) memcpy(to, from, n * sizeof *to);
    else {
        for (; n >= 4; n -= 4, to += 4, from += 4) memcpy(to, from, 4 * sizeof *to);
        for (; n; n--) *to++ = *from++;
    }
}

/* genai__pack: windows of pixels i.., values p.. */
static void genai__pack_windows(const void *source, size_t i, size_t rows, size_t p, size_t depth, float *to) {
    const genai__windows *s = (const genai__windows *)source;
    size_t                c = (size_t)s->c, line = (size_t)s->w * c, run = (size_t)s->kw * c; /* run: contiguous in x, one row of the window */
    int                   first = (int)(p / run), whole = !p && depth == (size_t)s->kh * run;
    int                   column = (int)(i % (size_t)s->columns), row = (int)(i / (size_t)s->columns % (size_t)s->rows);
    const float          *image = s->x + i / (size_t)s->columns / (size_t)s->rows * (size_t)s->h * line, *from;
    for (; rows; rows--) {
        int    y = row * s->stride_h - s->top + first, x = column * s->stride_w - s->left;
        size_t low = x < 0 ? genai__smaller((size_t)-x * c, run) : 0, high = x < s->w ? genai__smaller((size_t)(s->w - x) * c, run) : 0; /* of a run, inside */
        from = x < 0 ? image : image + (size_t)x * c;
        if (whole && high > low) { /* the common case of few channels */
            int top = y < 0 ? -y : 0, bottom = s->h - y < s->kh ? s->h - y : s->kh;
            if (bottom - top < s->kh || high - low < run) memset(to, 0, depth * sizeof *to);
            for (from += (size_t)(y + top) * line; top < bottom; top++, from += line) genai__copy_run(to + (size_t)top * run + low, from, high - low);
            to += depth;
        } else {
            size_t start = p % run, left = depth, count, end, a, b;
            for (; left; y++, start = 0, left -= count, to += count) {
                count = genai__smaller(run - start, left);
                end = start + count;
                a = genai__smaller(low > start ? low : start, end);
                b = y < 0 || y >= s->h || high <= a ? a : genai__smaller(high, end);
                if (a > start) memset(to, 0, (a - start) * sizeof *to);
                if (b > a) genai__copy_run(to + (a - start), from + (size_t)y * line + (a - low), b - a);
                if (end > b) memset(to + (b - start), 0, (end - b) * sizeof *to);
            }
        }
        if (++column == s->columns) {
            column = 0;
            if (++row == s->rows) { row = 0; image += (size_t)s->h * line; }
        }
    }
}

/* genai__pack: the phase's weights; rows: c, columns: (tap row, tap column, m), taps in falling order. */
static void genai__pack_taps(const void *source, size_t i, size_t rows, size_t p, size_t depth, float *to) {
    const genai__windows *s = (const genai__windows *)source;
    size_t                m = (size_t)s->c, r, done, count;
    for (done = 0; done < depth; done += count) {
        size_t       tap = (p + done) / m, offset = (p + done) % m;
        size_t       kh = (size_t)(s->tap_h + s->step_h * (s->kh - 1 - (int)(tap / (size_t)s->kw)));
        size_t       kw = (size_t)(s->tap_w + s->step_w * (s->kw - 1 - (int)(tap % (size_t)s->kw)));
        const float *from = s->weights + ((kh * (size_t)s->weights_kw + kw) * (size_t)s->to_c + i) * m + offset;
        count = genai__smaller(m - offset, depth - done);
        for (r = 0; r < rows; r++) memcpy(to + r * depth + done, from + r * m, count * sizeof *to);
    }
}

static float *genai__place_phase(const void *source, size_t i) {
    const genai__windows *s = (const genai__windows *)source;
    size_t                columns = (size_t)s->columns, rows = (size_t)s->rows;
    size_t                x = (size_t)s->first_w + i % columns * (size_t)s->step_w, y = (size_t)s->first_h + i / columns % rows * (size_t)s->step_h;
    return s->to + ((i / columns / rows * (size_t)s->to_h + y) * (size_t)s->to_w + x) * (size_t)s->to_c;
}

static genai__windows genai__conv_windows(const genai__conv *v, const float *x) {
    genai__windows s = {x, v->h, v->w, v->c, v->oh, v->ow, v->kh, v->kw, v->stride_h, v->stride_w, v->top, v->left, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    return s;
}

/* --- Winograd's minimal filtering (Winograd 1980; Lavin and Gray 2016), where channels are many ---
 * Two outputs of r <= 3 taps g over inputs d take r+1 products instead of 2r, and that squared over two dimensions:
 *     y = A'[(G g) * (B' d)],  B' d = d0-d2, d1+d2, d2-d1, d1-d3,  G g = g0, (g0+g1+g2)/2, (g0-g1+g2)/2, g2,
 *     y0 = m0+m1+m2,  y1 = m1-m2-m3;  with r < 3 the last product falls away.
 * A kernel is cut into pieces of at most 3 taps a side: first by stride phase, as above, then by length. The pieces of a
 * forward convolution meet in the same outputs, so their channels stand behind one another in k: 9, 12 or 16 products,
 * each with `pieces * c` as k, do it all. k4 s2 takes 36 multiplications where 64 stood, k5 49 of 100, k3 s1 16 of 36.
 * The weights' gradient is the same bilinear form read the other way: G'[(A dy) * (B' d)], summed over tiles. */
#define GENAI__PIECES 4
#define GENAI__PARTS 16
#define GENAI__WINOGRAD_ROWS 64 /* of k in a task of the weight gradient */

typedef struct genai__cut { /* one dimension of a kernel in pieces; those of three taps first */
    struct { int first, tap, step, taps; } piece[GENAI__PIECES]; /* first: place in x of output 0's first input; its taps in w */
    int count, threes;
} genai__cut;

typedef struct genai__pieces { /* pieces with equal products; their channels are the k of these */
    int    h, w, count_h, count_w;     /* pieces h.. and w.. of the cuts */
    int    products_h, products_w;
    size_t k, at;                      /* where its products begin among the transformed weights, in values per output channel */
} genai__pieces;

typedef struct genai__winograd { /* a forward convolution, or one stride phase of an input gradient */
    const float *x;             /* [images, h, w, c] */
    int          h, w, stride_h, stride_w, rows, columns; /* outputs of an image: rows x columns */
    size_t       c, n;          /* n: channels of the outputs */
    genai__cut   cut_h, cut_w;
    genai__pieces group[4];
    int          groups;
    size_t       tiles_h, tiles_w, tiles, size; /* size: transformed weights, in values per output channel */
    float       *to;            /* output (i, j) is pixel (first + i*step) of an image of to_h x to_w x n */
    int          to_h, to_w, first_h, first_w, step_h, step_w;
    const float *weights;       /* [kh, kw, a, b]: swapped: a = n, b = c, otherwise a = c, b = n */
    int          weights_kw, swapped;
    float       *packed;        /* [group][product][n/16][k][16] */
} genai__winograd;

typedef struct genai__winograd_job {
    genai_ctx      *ctx;
    genai__winograd part[GENAI__PARTS];
    int             parts;
    size_t          columns;         /* of a task */
    int             blocks;          /* the parts take turns block by block, so that what they read of x stays in the cache */
    const float    *bias;
    genai__kept    *kept;
    const float    *dy;              /* of a weight gradient, and from here on */
    float          *partial, *dw;    /* [group][product][k][n to the next 16] */
    size_t          chunk, from;     /* tiles from, ... + chunk are added now */
} genai__winograd_job;

static void genai__cut_taps(genai__cut *s, int taps, int first, int first_step, int tap, int tap_step) {
    while (taps > 1 && s->count < GENAI__PIECES) {
        int r = taps == 4 || taps == 2 ? 2 : 3, at = s->count;
        if (r == 3) {
            at = s->threes++;
            s->piece[s->count] = s->piece[at];
        }
        s->piece[at].first = first;
        s->piece[at].tap = tap;
        s->piece[at].step = tap_step;
        s->piece[at].taps = r;
        s->count++;
        first += r * first_step;
        tap += r * tap_step;
        taps -= r;
    }
    if (taps > 0) s->count = GENAI__PIECES + 1; /* too many, or single: no gain */
}

/* From one product to the next: not a multiple of 4 KB, or 16 products would share the 8 places of one cache set. */
GENAI__INLINE size_t genai__apart(size_t count) { return count + 16; }

GENAI__INLINE int genai__products(const genai__cut *s) { return s->threes ? 4 : 3; }

/* Groups and tiles, when all else is filled in. */
static void genai__winograd_plan(genai__winograd *s, int images) {
    for (int i = 0; i < 4; i++) {
        genai__pieces *g = &s->group[s->groups];
        g->h = i / 2 ? s->cut_h.threes : 0;
        g->w = i % 2 ? s->cut_w.threes : 0;
        g->count_h = i / 2 ? s->cut_h.count - s->cut_h.threes : s->cut_h.threes;
        g->count_w = i % 2 ? s->cut_w.count - s->cut_w.threes : s->cut_w.threes;
        if (!g->count_h || !g->count_w) continue;
        g->products_h = i / 2 ? 3 : 4;
        g->products_w = i % 2 ? 3 : 4;
        g->k = (size_t)(g->count_h * g->count_w) * s->c;
        g->at = s->size;
        s->size += (size_t)(g->products_h * g->products_w) * g->k;
        s->groups++;
    }
    s->tiles_h = ((size_t)s->rows + 1) / 2;
    s->tiles_w = ((size_t)s->columns + 1) / 2;
    s->tiles = (size_t)images * s->tiles_h * s->tiles_w;
}

/* Whether the products saved are worth the transforms. Depends on the shape alone, as everything that decides about bits.
 * With weights that are kept, few tiles do, if the larger transformed weights still come out of a cache; these are the tiles
 * of one image, so that its bits don't depend on those beside it. */
static int genai__winograd_pays(const genai__winograd *s, int kh, int kw, int kept) {
    size_t least = kept && (size_t)(s->step_h * s->step_w * kh * kw) * s->c * s->n <= (size_t)1 << 20 ? 4 : 32, tiles = s->tiles_h * s->tiles_w;
    double direct = (double)kh * kw * s->rows * s->columns;
    double products = (double)(3 * s->cut_h.count + s->cut_h.threes) * (3 * s->cut_w.count + s->cut_w.threes) * (double)tiles;
    return s->cut_h.count <= GENAI__PIECES && s->cut_w.count <= GENAI__PIECES && s->c >= 16 && s->n >= 16 && (kept ? tiles : s->tiles) >= least && direct > 1.25 * products;
}

static const float genai__zeros[GENAI__WINOGRAD_COLUMNS] = {0.0f};

static void genai__next_tile(const genai__winograd *s, size_t *w, size_t *h, size_t *image) {
    if (++*w == s->tiles_w) { *w = 0; ++*h; }
    if (*h == s->tiles_h) { *h = 0; ++*image; }
}

/* B' d of all products of a group: tiles i.., values p.. of k = (piece, piece, channel); to: [product][tile][depth] */
static void genai__winograd_windows(const genai_ctx *ctx, const genai__winograd *s, const genai__pieces *g, size_t i, size_t tiles, size_t p,
                                    size_t depth, float *to) {
    size_t tile_w = i % s->tiles_w, tile_h = i / s->tiles_w % s->tiles_h, image = i / s->tiles_w / s->tiles_h, product = genai__apart(tiles * depth), t;
    size_t row = (size_t)s->w * s->c, step_h = row * (size_t)s->stride_h, step_w = s->c * (size_t)s->stride_w;
    for (t = 0; t < tiles; t++) {
        size_t done, count;
        for (done = 0; done < depth; done += count) {
            size_t       piece = (p + done) / s->c, channel = (p + done) % s->c;
            int          top = (int)(2 * tile_h) * s->stride_h + s->cut_h.piece[g->h + (int)piece / g->count_w].first;
            int          left = (int)(2 * tile_w) * s->stride_w + s->cut_w.piece[g->w + (int)piece % g->count_w].first, h, w;
            const float *from = s->x + image * (size_t)s->h * row + channel, *d[16];
            count = genai__smaller(s->c - channel, depth - done);
            if (top >= 0 && left >= 0 && top + (g->products_h - 1) * s->stride_h < s->h && left + (g->products_w - 1) * s->stride_w < s->w) {
                from += (size_t)top * row + (size_t)left * s->c;
                for (h = 0; h < g->products_h; h++)
                    for (w = 0; w < g->products_w; w++) d[h * 4 + w] = from + (size_t)h * step_h + (size_t)w * step_w;
            } else
                for (h = 0; h < g->products_h; h++)
                    for (w = 0; w < g->products_w; w++) {
                        int y = top + h * s->stride_h, x = left + w * s->stride_w;
                        d[h * 4 + w] = y >= 0 && y < s->h && x >= 0 && x < s->w ? from + (size_t)y * row + (size_t)x * s->c : genai__zeros;
                    }
            ctx->kernels->winograd_windows(count, d, g->products_h, g->products_w, to + t * depth + done, product);
        }
        genai__next_tile(s, &tile_w, &tile_h, &image);
    }
}

/* A dy of all products of a group: tiles i.., columns j..; to: [product][tile][columns to the next 16] */
static void genai__winograd_gradients(const genai__winograd_job *job, const genai__pieces *g, size_t i, size_t tiles, size_t j, size_t columns, float *to) {
    const genai__winograd *s = &job->part[0];
    size_t tile_w = i % s->tiles_w, tile_h = i / s->tiles_w % s->tiles_h, image = i / s->tiles_w / s->tiles_h, row = (size_t)s->columns * s->n;
    size_t width = genai__round16(columns), product = genai__apart(tiles * width), t, k, l;
    for (t = 0; t < tiles; t++, to += width) {
        const float *from = job->dy + image * (size_t)s->rows * row + 2 * tile_h * row + 2 * tile_w * s->n + j, *d[4];
        for (k = 0; k < 4; k++)
            d[k] = 2 * tile_h + k / 2 < (size_t)s->rows && 2 * tile_w + k % 2 < (size_t)s->columns ? from + k / 2 * row + k % 2 * s->n : genai__zeros;
        job->ctx->kernels->winograd_gradients(columns, d, g->products_h, g->products_w, to, product);
        if (columns < width)
            for (k = 0; k < (size_t)(g->products_h * g->products_w); k++)
                for (l = columns; l < width; l++) to[k * product + l] = 0.0f;
        genai__next_tile(s, &tile_w, &tile_h, &image);
    }
}

/* G g: panel `index` of a part's weights for all products. */
static void genai__winograd_pack_panel(void *arg, int index) {
    const genai__winograd_job *job = (const genai__winograd_job *)arg;
    const genai__winograd     *s = &job->part[0];
    size_t                     panels = (s->n + 15) / 16, panel = (size_t)index, b = s->swapped ? s->c : s->n, a = s->swapped ? s->n : s->c, i;
    float                      block[16][16][16];
    while (panel >= panels) { panel -= panels; s++; }
    for (int group = 0; group < s->groups; group++) {
        const genai__pieces *g = &s->group[group];
        for (int piece = 0; piece < g->count_h * g->count_w; piece++) {
            int          ph = g->h + piece / g->count_w, pw = g->w + piece % g->count_w, taps_h = s->cut_h.piece[ph].taps, taps_w = s->cut_w.piece[pw].taps;
            const float *tap[9];
            size_t       product = panels * g->k * 16;
            float       *to = s->packed + g->at * panels * 16 + (panel * g->k + (size_t)piece * s->c) * 16;
            for (int h = 0; h < taps_h; h++)
                for (int w = 0; w < taps_w; w++) {
                    size_t y = (size_t)(s->cut_h.piece[ph].tap + h * s->cut_h.piece[ph].step), x = (size_t)(s->cut_w.piece[pw].tap + w * s->cut_w.piece[pw].step);
                    tap[h * 3 + w] = s->weights + (y * (size_t)s->weights_kw + x) * a * b + panel * 16 * (s->swapped ? b : 1);
                }
            if (!s->swapped) {
                job->ctx->kernels->winograd_weights(s->c, genai__smaller(16, s->n - panel * 16), b, tap, taps_h, taps_w, to, product, 16);
                continue;
            }
            for (i = 0; i < s->c; i += 16) { /* 16 lines of up to 16 values, then turned */
                size_t       lines = genai__smaller(16, s->n - panel * 16), count = genai__smaller(16, s->c - i);
                const float *line[9];
                for (int e = 0; e < 9; e++) line[e] = e / 3 < taps_h && e % 3 < taps_w ? tap[e] + i : NULL;
                memset(block, 0, sizeof block);
                job->ctx->kernels->winograd_weights(lines, count, b, line, taps_h, taps_w, block[0][0], 256, 16);
                for (int e = 0; e < g->products_h * g->products_w; e++)
                    job->ctx->kernels->transpose(count, block[e][0], 16, to + (size_t)e * product + i * 16);
            }
        }
        for (int e = 0; e < g->products_h * g->products_w; e++)
            genai__scale_panels(job->kept, panel * 16, genai__smaller(panel * 16 + 16, s->n), g->k,
                                s->packed + g->at * panels * 16 + ((size_t)e * panels + panel) * g->k * 16);
    }
}

static void genai__winograd_task(void *arg, int index) {
    const genai__winograd_job *job = (const genai__winograd_job *)arg;
    const genai__winograd     *s = &job->part[0];
    size_t                     column_blocks = genai__blocks(s->n, job->columns), all = genai__round16(s->n), task = (size_t)index, blocks;
    size_t                     p, depth, product_a;
    if (job->blocks) {
        s += task % (size_t)job->parts;
        task /= (size_t)job->parts;
        if (task >= genai__blocks(s->tiles, GENAI__WINOGRAD_TILES) * column_blocks) return;
    } else while (blocks = genai__blocks(s->tiles, GENAI__WINOGRAD_TILES) * column_blocks, task >= blocks) { task -= blocks; s++; }
    int    slot = genai__slot_take(job->ctx);
    float *pack = job->ctx->slots + (size_t)slot * GENAI__SLOT, *block = pack + GENAI__WINOGRAD_PACK;
    size_t i0 = task / column_blocks * GENAI__WINOGRAD_TILES, rows = genai__smaller(GENAI__WINOGRAD_TILES, s->tiles - i0);
    size_t j0 = task % column_blocks * job->columns, columns = genai__smaller(job->columns, s->n - j0);
    size_t width = genai__round16(columns), product_c = genai__apart(rows * width);
    int    height = genai__products(&s->cut_h), across = genai__products(&s->cut_w);
    for (int group = 0; group < s->groups; group++) {
        const genai__pieces *g = &s->group[group];
        size_t               products = (size_t)(g->products_h * g->products_w);
        size_t               most = (GENAI__WINOGRAD_PACK / products - 16) / GENAI__WINOGRAD_TILES & ~(size_t)15;
        const float         *b = s->packed + g->at * all + j0 * g->k;
        for (p = 0; p < g->k; p += depth) {
            depth = genai__smaller(most, g->k - p);
            product_a = genai__apart(rows * depth);
            genai__winograd_windows(job->ctx, s, g, i0, rows, p, depth, pack);
            for (size_t e = 0; e < products; e++) {
                size_t place = e / (size_t)g->products_w * (size_t)across + e % (size_t)g->products_w;
                genai__block_tiles(job->ctx->kernels, rows, columns, depth, pack + e * product_a, depth, 1, b + e * g->k * all + p * 16, 16, g->k * 16,
                                   block + place * product_c, width, group || p, NULL);
            }
        }
    }
    for (size_t i = 0; i < rows; i++) {
        size_t tile = i0 + i, image = tile / s->tiles_w / s->tiles_h;
        float  outside[GENAI__WINOGRAD_COLUMNS], *y[4];
        for (p = 0; p < 4; p++) {
            int row = (int)(tile / s->tiles_w % s->tiles_h * 2 + p / 2), column = (int)(tile % s->tiles_w * 2 + p % 2);
            y[p] = outside;
            if (row < s->rows && column < s->columns) {
                size_t to_row = image * (size_t)s->to_h + (size_t)(s->first_h + row * s->step_h);
                y[p] = s->to + (to_row * (size_t)s->to_w + (size_t)(s->first_w + column * s->step_w)) * s->n + j0;
            }
        }
        job->ctx->kernels->winograd_outputs(columns, block + i * width, product_c, height, across, job->bias ? job->bias + j0 : NULL, y);
    }
    genai__slot_give(job->ctx, slot);
}

/* Runs all parts; they differ in cuts and tiles only. */
static genai_result genai__winograd_run(genai_ctx *ctx, genai__winograd_job *job) {
    size_t total = 0, tasks = 0, most = 0, products = 0, blocks, width = genai__round16(job->part[0].n);
    int    i, ready, images = (int)(job->part[0].tiles / job->part[0].tiles_h / job->part[0].tiles_w);
    job->ctx = ctx;
    for (i = 0; i < job->parts; i++) {
        size_t n = (size_t)(genai__products(&job->part[i].cut_h) * genai__products(&job->part[i].cut_w));
        if (n > products) products = n;
    }
    job->columns = (GENAI__WINOGRAD_BLOCK / products - 16) / GENAI__WINOGRAD_TILES & ~(size_t)15;
    job->columns = genai__round16(genai__blocks(width, genai__blocks(width, job->columns)));
    for (i = 0; i < job->parts; i++) {
        total += job->part[i].size;
        blocks = genai__blocks(job->part[i].tiles, GENAI__WINOGRAD_TILES) * genai__blocks(width, job->columns);
        tasks += blocks;
        if (blocks > most) most = blocks;
    }
    job->blocks = total * width < (size_t)job->part[0].h * (size_t)job->part[0].w * job->part[0].c * (size_t)images; /* more to read of x than of the weights */
    if (job->blocks) tasks = most * (size_t)job->parts;
    if (tasks > GENAI__MAX_TASKS || width / 16 * (size_t)job->parts > GENAI__MAX_TASKS)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "a convolution of %zu tiles and %zu channels is too large", job->part[0].tiles, job->part[0].n);
    float *packed = genai__packed_room(ctx, job->kept, GENAI__KEPT_WINOGRAD, width, total, &ready);
    if (!packed) return GENAI_ERROR_MEMORY;
    for (i = 0; i < job->parts; i++) {
        job->part[i].packed = packed;
        packed += job->part[i].size * width;
    }
    if (!ready) genai__parallel(ctx, (int)(width / 16) * job->parts, genai__winograd_pack_panel, job);
    genai__parallel(ctx, (int)tasks, genai__winograd_task, job);
    return GENAI_OK;
}

/* Adds tiles from.. to a block of all products of a group. */
static void genai__winograd_weight_task(void *arg, int index) {
    const genai__winograd_job *job = (const genai__winograd_job *)arg;
    const genai__winograd     *s = &job->part[0];
    const genai__pieces       *g = &s->group[0];
    size_t                     across = genai__blocks(s->n, job->columns), total = genai__round16(s->n), task = (size_t)index, blocks;
    int                        slot = genai__slot_take(job->ctx);
    float                     *a = job->ctx->slots + (size_t)slot * GENAI__SLOT;
    while (blocks = genai__blocks(g->k, GENAI__WINOGRAD_ROWS) * across, task >= blocks) { task -= blocks; g++; }
    size_t i0 = task / across * GENAI__WINOGRAD_ROWS, rows = genai__smaller(GENAI__WINOGRAD_ROWS, g->k - i0);
    size_t j0 = task % across * job->columns, columns = genai__smaller(job->columns, s->n - j0), width = genai__round16(columns);
    size_t products = (size_t)(g->products_h * g->products_w), most = (GENAI__SLOT / products - 32) / (rows + width) & ~(size_t)7;
    float *c = job->partial + g->at * total + i0 * total + j0;
    for (size_t depth, p = job->from; p < job->from + job->chunk && p < s->tiles; p += depth) {
        depth = genai__smaller(most, genai__smaller(job->from + job->chunk, s->tiles) - p);
        size_t product_a = genai__apart(depth * rows), product_b = genai__apart(depth * width);
        float *b = a + products * product_a;
        genai__winograd_windows(job->ctx, s, g, p, depth, i0, rows, a);
        genai__winograd_gradients(job, g, p, depth, j0, columns, b);
        for (size_t e = 0; e < products; e++)
            genai__block_tiles(job->ctx->kernels, rows, columns, depth, a + e * product_a, 1, rows, b + e * product_b, width, 16,
                               c + e * g->k * total, total, p > 0, NULL);
    }
    genai__slot_give(job->ctx, slot);
}

/* G' of the sums: a row (piece, channel) of dw. */
static void genai__winograd_weight_taps(void *arg, size_t row) {
    const genai__winograd_job *job = (const genai__winograd_job *)arg;
    const genai__winograd     *s = &job->part[0];
    const genai__pieces       *g = &s->group[0];
    size_t                     width = genai__round16(s->n);
    float                     *to[9];
    while (row >= g->k) { row -= g->k; g++; }
    int piece = (int)(row / s->c), ph = g->h + piece / g->count_w, pw = g->w + piece % g->count_w;
    for (int e = 0; e < 9; e++) {
        size_t y = (size_t)(s->cut_h.piece[ph].tap + e / 3 * s->cut_h.piece[ph].step), x = (size_t)(s->cut_w.piece[pw].tap + e % 3 * s->cut_w.piece[pw].step);
        to[e] = e / 3 < s->cut_h.piece[ph].taps && e % 3 < s->cut_w.piece[pw].taps ? job->dw + ((y * (size_t)s->weights_kw + x) * s->c + row % s->c) * s->n : NULL;
    }
    job->ctx->kernels->winograd_taps(s->n, job->partial + g->at * width + row * width, g->k * width, s->cut_h.piece[ph].taps, s->cut_w.piece[pw].taps, to);
}

static genai_result genai__winograd_weight(genai_ctx *ctx, genai__winograd_job *job) {
    genai__winograd *s = &job->part[0];
    size_t           tasks, rows, blocks = 0;
    int              i;
    job->ctx = ctx;
    for (i = 0, rows = 0; i < s->groups; i++) {
        blocks += genai__blocks(s->group[i].k, GENAI__WINOGRAD_ROWS);
        rows += s->group[i].k;
    }
    job->columns = genai__smaller(genai__round16(s->n), 128);
    while (ctx->desc.threads > 1 && job->columns > 32 && blocks * genai__blocks(s->n, job->columns) < 2 * (size_t)ctx->desc.threads)
        job->columns = genai__round16(job->columns / 2); /* so that all have work; changes no bit */
    tasks = blocks * genai__blocks(s->n, job->columns);
    if (tasks > GENAI__MAX_TASKS) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "a convolution of %zu by %zu channels is too large", s->c, s->n);
    job->chunk = ((size_t)1 << 19) / ((size_t)(4 * s->stride_h * s->stride_w) * s->c + 4 * s->n); /* tiles whose x and dy are 2 MB */
    job->chunk = job->chunk / 256 * 256 + 256 * (size_t)(job->chunk < 256);
    job->partial = genai__workspace(ctx, s->size * genai__round16(s->n));
    if (!job->partial) return GENAI_ERROR_MEMORY;
    for (job->from = 0; job->from < s->tiles; job->from += job->chunk) genai__parallel(ctx, (int)tasks, genai__winograd_weight_task, job);
    return genai__for_rows(ctx, rows, 9 * s->n, genai__winograd_weight_taps, job);
}

/* The windows of a forward convolution, which are also those of its weight gradient. */
static void genai__winograd_forward(genai__winograd *s, const genai__conv *v, const float *x) {
    int phase;
    memset(s, 0, sizeof *s);
    s->x = x;
    s->h = v->h; s->w = v->w; s->c = (size_t)v->c; s->n = (size_t)v->m;
    s->stride_h = v->stride_h; s->stride_w = v->stride_w;
    s->rows = s->to_h = v->oh; s->columns = s->to_w = v->ow;
    s->step_h = s->step_w = 1;
    s->weights_kw = v->kw;
    for (phase = 0; phase < v->stride_h && phase < v->kh; phase++) genai__cut_taps(&s->cut_h, (v->kh - phase + v->stride_h - 1) / v->stride_h, phase - v->top, v->stride_h, phase, v->stride_h);
    for (phase = 0; phase < v->stride_w && phase < v->kw; phase++) genai__cut_taps(&s->cut_w, (v->kw - phase + v->stride_w - 1) / v->stride_w, phase - v->left, v->stride_w, phase, v->stride_w);
    genai__winograd_plan(s, v->n);
}

/* The kernel covers the image and has one place only: forward and back are products without windows. */
static int genai__conv_whole(const genai__conv *v) { return v->oh == 1 && v->ow == 1 && v->kh == v->h && v->kw == v->w && !v->top && !v->left; }

/* y = x * w + bias */
static genai_result genai__conv_forward(genai_ctx *ctx, const genai__conv *v, const float *x, const float *w, const float *bias, float *y, genai__kept *kept) {
    genai__windows      s = genai__conv_windows(v, x);
    genai__gemm         g = genai__product((size_t)v->n * (size_t)v->oh * (size_t)v->ow, (size_t)v->m, (size_t)v->kh * (size_t)v->kw * (size_t)v->c);
    genai__winograd_job job;
    genai__winograd_forward(&job.part[0], v, x);
    if (genai__winograd_pays(&job.part[0], v->kh, v->kw, kept != NULL)) {
        job.parts = 1;
        job.part[0].weights = w;
        job.part[0].to = y;
        job.bias = bias;
        job.kept = kept;
        return genai__winograd_run(ctx, &job);
    }
    if ((v->kh == 1 && v->kw == 1 && v->stride_h == 1 && v->stride_w == 1 && !v->top && !v->left) || genai__conv_whole(v)) g.a = x;
    else g.pack_a = genai__pack_windows;
    g.source = &s;
    g.b = w;
    g.c = y;
    g.bias = bias;
    return genai__gemm_kept(ctx, &g, kept);
}

/* dw = windows of x, transposed, times dy */
static genai_result genai__conv_weight(genai_ctx *ctx, const genai__conv *v, const float *x, const float *dy, float *dw) {
    genai__windows      s = genai__conv_windows(v, x);
    genai__gemm         g = genai__product((size_t)v->kh * (size_t)v->kw * (size_t)v->c, (size_t)v->m, (size_t)v->n * (size_t)v->oh * (size_t)v->ow);
    genai__winograd_job job;
    genai__winograd_forward(&job.part[0], v, x);
    if (genai__winograd_pays(&job.part[0], v->kh, v->kw, 0)) {
        job.dy = dy;
        job.dw = dw;
        return genai__winograd_weight(ctx, &job);
    }
    g.pack_a = genai__pack_windows;
    g.a_swapped = 1;
    g.source = &s;
    g.b = dy;
    g.c = dw;
    return genai__gemm_run(ctx, &g);
}

/* Fills in a part for each stride phase of the input gradient; false if another way is faster. */
static int genai__winograd_phases(genai__winograd_job *job, const genai__conv *v, int kept) {
    job->parts = 0;
    if ((size_t)v->stride_h * (size_t)v->stride_w > GENAI__PARTS || v->kh < v->stride_h || v->kw < v->stride_w) return 0;
    for (int first_h = 0; first_h < v->stride_h && first_h < v->h; first_h++)
        for (int first_w = 0; first_w < v->stride_w && first_w < v->w; first_w++) {
            genai__winograd *s = &job->part[job->parts];
            int              phase_h = (first_h + v->top) % v->stride_h, phase_w = (first_w + v->left) % v->stride_w;
            int              taps_h = (v->kh - phase_h + v->stride_h - 1) / v->stride_h, taps_w = (v->kw - phase_w + v->stride_w - 1) / v->stride_w;
            memset(s, 0, sizeof *s);
            s->h = v->oh; s->w = v->ow; s->c = (size_t)v->m; s->n = (size_t)v->c;
            s->stride_h = s->stride_w = 1;
            s->to_h = v->h; s->to_w = v->w;
            s->step_h = v->stride_h; s->step_w = v->stride_w;
            s->first_h = first_h; s->first_w = first_w;
            s->rows = (v->h - s->first_h + v->stride_h - 1) / v->stride_h;
            s->columns = (v->w - s->first_w + v->stride_w - 1) / v->stride_w;
            s->weights_kw = v->kw;
            s->swapped = 1;
            genai__cut_taps(&s->cut_h, taps_h, (s->first_h + v->top - phase_h) / v->stride_h - taps_h + 1, 1, phase_h + (taps_h - 1) * v->stride_h, -v->stride_h);
            genai__cut_taps(&s->cut_w, taps_w, (s->first_w + v->left - phase_w) / v->stride_w - taps_w + 1, 1, phase_w + (taps_w - 1) * v->stride_w, -v->stride_w);
            genai__winograd_plan(s, v->n);
            if (!genai__winograd_pays(s, taps_h, taps_w, kept)) return 0;
            job->parts++;
        }
    return job->parts > 0;
}

/* --- input gradients to few channels, such as the last layer of a generator ---
 * Columns of 16 would be wasted on 1 to 4 channels. But each pixel of dy gives kh rows of kw*c values that lie side by side
 * in dx: one product [pixels of dy, m] [m, kh*kw*c] fills all columns, and its rows are added where they belong. A task does
 * a strip of dx rows; the few rows of dy that two strips need are multiplied twice. */
#define GENAI__FEW 8 /* channels */
#define GENAI__FEW_ROWS 32

typedef struct genai__few {
    const genai__conv *v;
    genai__gemm        g;    /* B: the weights, [m][kh*kw*c] */
    const float       *bias;
    float             *dx;
    size_t             strips, rows; /* of dx, in an image and in a strip */
} genai__few;

/* Pixels of dy that `rows` rows of dx can see, at most. */
static size_t genai__few_pixels(const genai__conv *v, size_t rows) {
    return genai__smaller((rows + (size_t)v->kh - 2) / (size_t)v->stride_h + 1, (size_t)v->oh) * (size_t)v->ow;
}

static void genai__few_task(void *arg, int index) {
    const genai__few  *s = (const genai__few *)arg;
    const genai__conv *v = s->v;
    genai_ctx         *ctx = s->g.ctx;
    size_t             image = (size_t)index / s->strips, c = (size_t)v->c, run = (size_t)v->kw * c, width = genai__round16(s->g.n), m = s->g.k, p, depth, i, j;
    int                from = (int)((size_t)index % s->strips * s->rows), to = (int)genai__smaller((size_t)from + s->rows, (size_t)v->h), y, x, oh;
    int                first = (from + v->top - v->kh + v->stride_h) / v->stride_h, end = (to - 1 + v->top) / v->stride_h + 1; /* rows of dy */
    int                slot = genai__slot_take(ctx);
    float             *line = ctx->slots + (size_t)slot * GENAI__SLOT, *product = line + (size_t)(v->ow * v->stride_w) * c + run;
    if (from + v->top - v->kh + 1 <= 0) first = 0;
    if (end > v->oh) end = v->oh;
    if (end > first)
        for (p = 0; p < m; p += depth) {
            depth = genai__smaller(GENAI__BLOCK_DEPTH, m - p);
            genai__block_tiles(ctx->kernels, (size_t)(end - first) * (size_t)v->ow, s->g.n, depth,
                               s->g.a + (image * (size_t)v->oh + (size_t)first) * (size_t)v->ow * m + p, m, 1, s->g.packed + p * 16, 16, m * 16, product, width, p > 0,
                               NULL);
        }
    for (y = from; y < to; y++) {
        float *out = s->dx + (image * (size_t)v->h + (size_t)y) * (size_t)v->w * c;
        memset(line, 0, ((size_t)(v->ow * v->stride_w) * c + run) * sizeof *line);
        for (oh = first; oh < end; oh++) {
            int          kh = y + v->top - oh * v->stride_h;
            const float *values = product + (size_t)(oh - first) * (size_t)v->ow * width;
            if (kh < 0 || kh >= v->kh) continue;
            values += (size_t)kh * run;
            for (x = 0; x < v->ow; x++, values += width) {
                float *place = line + (size_t)(x * v->stride_w) * c;
                for (i = 0; i < run; i++) place[i] += values[i];
            }
        }
        for (x = 0; x < v->w; x++, out += c)
            for (j = 0; j < c; j++) out[j] = (x + v->left < v->ow * v->stride_w + v->kw ? line[(size_t)(x + v->left) * c + j] : 0.0f) + (s->bias ? s->bias[j] : 0.0f);
    }
    genai__slot_give(ctx, slot);
}

/* False: not for this shape. */
static int genai__few_pays(const genai__conv *v, genai__few *s) {
    size_t width = genai__round16((size_t)v->kh * (size_t)v->kw * (size_t)v->c), line = ((size_t)v->ow * (size_t)v->stride_w + (size_t)v->kw) * (size_t)v->c;
    memset(s, 0, sizeof *s);
    s->v = v;
    for (s->rows = GENAI__FEW_ROWS; s->rows > 1 && genai__few_pixels(v, s->rows) * width + line > GENAI__SLOT; s->rows /= 2) {}
    s->strips = ((size_t)v->h + s->rows - 1) / s->rows;
    return v->c <= GENAI__FEW && (v->kh > 1 || v->kw > 1) && genai__few_pixels(v, s->rows) * width + line <= GENAI__SLOT && (size_t)v->n * s->strips <= GENAI__MAX_TASKS;
}

static genai_result genai__few_run(genai_ctx *ctx, genai__few *s, const float *dy, const float *w, const float *bias, float *dx, genai__kept *kept) {
    const genai__conv *v = s->v;
    int                ready;
    s->bias = bias;
    s->dx = dx;
    s->g = genai__product(0, (size_t)v->kh * (size_t)v->kw * (size_t)v->c, (size_t)v->m);
    s->g.ctx = ctx;
    s->g.a = dy;
    s->g.b = w;
    s->g.b_row = 1;
    s->g.b_col = s->g.k;
    s->g.packed = genai__packed_room(ctx, kept, GENAI__KEPT_FEW, genai__round16(s->g.n), s->g.k, &ready);
    if (!s->g.packed) return GENAI_ERROR_MEMORY;
    if (!ready) {
        genai__gemm_pack(&s->g, 0, s->g.n, 0, s->g.k, s->g.packed, s->g.k * 16);
        genai__scale_panels(kept, 0, s->g.n, s->g.k, s->g.packed);
    }
    genai__parallel(ctx, (int)((size_t)v->n * s->strips), genai__few_task, s);
    return GENAI_OK;
}

/* dx (+ bias, when it serves as a transposed convolution) from dy and w */
static genai_result genai__conv_input(genai_ctx *ctx, const genai__conv *v, const float *dy, const float *w, const float *bias, float *dx, genai__kept *kept) {
    genai__winograd_job job;
    genai__few          few;
    int                 first_h, first_w, part, ready = 0;
    float              *room = NULL;
    if (genai__conv_whole(v)) {
        genai__gemm g = genai__product((size_t)v->n, (size_t)v->h * (size_t)v->w * (size_t)v->c, (size_t)v->m);
        size_t      i, pixels = (size_t)v->n * (size_t)v->h * (size_t)v->w;
        g.a = dy;
        g.b = w;
        g.b_row = 1;
        g.b_col = g.k;
        g.c = dx;
        genai_result result = genai__gemm_kept(ctx, &g, kept);
        for (i = 0; i < pixels && bias && !result; i++) ctx->kernels->add_to((size_t)v->c, dx + i * (size_t)v->c, bias);
        return result;
    }
    if (genai__few_pays(v, &few)) return genai__few_run(ctx, &few, dy, w, bias, dx, kept);
    if (genai__winograd_phases(&job, v, kept != NULL)) {
        for (part = 0; part < job.parts; part++) {
            job.part[part].x = dy;
            job.part[part].weights = w;
            job.part[part].to = dx;
        }
        job.bias = bias;
        job.kept = kept;
        return genai__winograd_run(ctx, &job);
    }
    if (kept) {
        room = genai__packed_room(ctx, kept, GENAI__KEPT_PHASES, genai__round16((size_t)v->c), (size_t)v->kh * (size_t)v->kw * (size_t)v->m, &ready);
        if (!room) return GENAI_ERROR_MEMORY;
    }
    for (first_h = 0; first_h < v->stride_h && first_h < v->h; first_h++)
        for (first_w = 0; first_w < v->stride_w && first_w < v->w; first_w++) {
            int            phase_h = (first_h + v->top) % v->stride_h, phase_w = (first_w + v->left) % v->stride_w;
            genai__windows s = GENAI__ZEROED;
            s.first_h = first_h; s.first_w = first_w;
            s.rows = (v->h - s.first_h + v->stride_h - 1) / v->stride_h;
            s.columns = (v->w - s.first_w + v->stride_w - 1) / v->stride_w;
            s.kh = phase_h < v->kh ? (v->kh - phase_h + v->stride_h - 1) / v->stride_h : 0;
            s.kw = phase_w < v->kw ? (v->kw - phase_w + v->stride_w - 1) / v->stride_w : 0;
            s.x = dy;
            s.h = v->oh; s.w = v->ow; s.c = v->m;
            s.stride_h = s.stride_w = 1;
            s.top = s.kh - 1 - (s.first_h + v->top - phase_h) / v->stride_h;
            s.left = s.kw - 1 - (s.first_w + v->left - phase_w) / v->stride_w;
            s.to = dx;
            s.to_h = v->h; s.to_w = v->w; s.to_c = v->c;
            s.step_h = v->stride_h; s.step_w = v->stride_w;
            s.weights = w;
            s.weights_kw = v->kw;
            s.tap_h = phase_h; s.tap_w = phase_w;
            genai__gemm g = genai__product((size_t)v->n * (size_t)s.rows * (size_t)s.columns, (size_t)v->c, (size_t)s.kh * (size_t)s.kw * (size_t)v->m);
            g.pack_a = genai__pack_windows;
            g.pack_b = genai__pack_taps;
            g.place = genai__place_phase;
            g.source = &s;
            g.bias = bias;
            g.kept = kept;
            g.room = room;
            g.ready = ready;
            genai_result result = genai__gemm_run(ctx, &g);
            if (kept && result) kept->form = 0;
            if (result) return result;
            if (room) room += genai__round16(g.n) * g.k;
        }
    return GENAI_OK;
}

/* From here on nothing computes much by itself: -O1 serves as well, and gcc needs a sixth less time. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("O1", "no-fast-math", "fp-contract=off", "no-math-errno")
#endif

/* ====================================================================================================================
 * >>tensor (private)
 * Shapes, and the arena of temporaries, which has two parts. Tensor structs and whatever is small lie in chunks that are
 * filled in order and given back by genai_tape_release only; a position there is one number, which serves as mark. The
 * values of larger tensors are pieces, given back as soon as nobody needs them.
 * ================================================================================================================= */
#define GENAI__CHUNK_BYTES ((size_t)256 << 10)
/* Flags of tensors. HOLDS: it has a share in the piece before its data; GRADIENT: made by a walk back, for the walk only; UNSET: a leaf's
 * gradient that is taken for zeros, whatever it holds; REMADE: its values were dropped and computed again; KEPT: by a net's layer of
 * that name, so that several may use it. */
enum { GENAI__ON_TAPE = 1, GENAI__WANTED = 2, GENAI__TARGET = 4, GENAI__HOLDS = 8, GENAI__GRADIENT = 16, GENAI__UNSET = 32, GENAI__REMADE = 64, GENAI__KEPT = 128 };

/* count of a shape, or 0 with the error set. */
static size_t genai__shape_count(genai_ctx *ctx, const char *who, int ndim, const int *dim) {
    size_t count = 1, bytes;
    if (ndim < 0 || ndim > 4 || (ndim && !dim)) return genai__fail(ctx, GENAI_ERROR_SHAPE, "%s: a tensor has 0 to 4 dims, not %d", who, ndim), 0;
    for (int i = 0; i < ndim; i++) {
        if (dim[i] < 1) return genai__fail(ctx, GENAI_ERROR_SHAPE, "%s: dim %d is %d, but dims are at least 1", who, i, dim[i]), 0;
        if (!genai__mul(count, (size_t)dim[i], &count)) count = 0;
        if (!count || !genai__mul(count, sizeof(float), &bytes) || bytes > (size_t)-1 / 4)
            return genai__fail(ctx, GENAI_ERROR_SHAPE, "%s: a tensor of these dims has too many values", who), 0;
    }
    return count;
}

/* "[8,28,28,3]"; to holds 64 characters. */
static const char *genai__shape_text(const genai_tensor *t, char *to) {
    int i, n = 1;
    to[0] = '[';
    for (i = 0; i < t->ndim; i++) n += sprintf(to + n, i ? ",%d" : "%d", t->dim[i]);
    to[n] = ']';
    to[n + 1] = 0;
    return to;
}

static genai_result genai__set_shape(genai_tensor *t, int ndim, const int *dim) {
    t->ndim = ndim;
    t->count = 1;
    for (int i = 0; i < 4; i++) {
        t->dim[i] = i < ndim ? dim[i] : 1;
        t->count *= (size_t)t->dim[i];
    }
    return GENAI_OK;
}

static int genai__same_shape(const genai_tensor *a, const genai_tensor *b) { return a->ndim == b->ndim && !memcmp(a->dim, b->dim, sizeof a->dim); }

/* Makes a caller-owned struct a leaf over given memory. */
static void genai__tensor_init(genai_ctx *ctx, genai_tensor *t, int ndim, const int *dim, float *data) {
    memset(t, 0, sizeof *t);
    genai__set_shape(t, ndim, dim);
    t->ctx = ctx;
    t->data = data;
}

/* --- arena --- */
/* `bytes` bytes, not cleared, on a 64-byte boundary; NULL with the error set. */
static void *genai__arena(genai_ctx *ctx, size_t bytes) {
    genai__chunk *chunk = ctx->chunk, *last = NULL;
    if (!genai__add(bytes, 63, &bytes)) return NULL;
    bytes &= ~(size_t)63;
    for (; chunk && chunk->size - chunk->used < bytes; chunk = chunk->next) last = chunk;
    if (!chunk) {
        chunk = (genai__chunk *)genai__alloc(ctx, 1, sizeof *chunk);
        if (!chunk) return NULL;
        chunk->size = bytes > GENAI__CHUNK_BYTES ? bytes : GENAI__CHUNK_BYTES;
        chunk->data = (unsigned char *)genai__alloc(ctx, chunk->size, 1);
        if (!chunk->data) {
            genai__free(ctx, chunk);
            return NULL;
        }
        if (last) last->next = chunk;
        else ctx->chunks = chunk;
    }
    ctx->chunk = chunk;
    void *p = chunk->data + chunk->used;
    chunk->used += bytes;
    return p;
}

/* The arena's position: bytes of all chunks before the current one, and what is used of it. */
static size_t genai__arena_position(const genai_ctx *ctx) {
    size_t position = 0;
    if (!ctx->chunk) return 0;
    for (const genai__chunk *chunk = ctx->chunks; chunk != ctx->chunk; chunk = chunk->next) position += chunk->size;
    return position + ctx->chunk->used;
}

/* --- values --- */
/* Ends t's share in its values. */
static void genai__drop(genai_tensor *t) {
    if (!(t->flags & GENAI__HOLDS)) return;
    genai__give(t->ctx, t->data);
    t->flags &= ~(unsigned)GENAI__HOLDS;
    t->data = NULL;
}

GENAI_API size_t genai_tape_mark(genai_ctx *ctx) { return ctx ? genai__arena_position(ctx) : 0; }

GENAI_API void genai_tape_release(genai_ctx *ctx, size_t mark) {
    if (!ctx) return;
    for (; ctx->last && ctx->last->at >= mark; ctx->last = ctx->last->previous) genai__drop(ctx->last);
    if (ctx->last) ctx->last->next = NULL;
    else ctx->first = NULL;
    for (genai_tensor *t = ctx->last; t; t = t->previous)
        if (t->grad && t->grad->at >= mark) t->grad = NULL; /* it lay behind the mark */
    for (genai__slab *slab = ctx->slabs; slab; slab = slab->next)
        if (slab->open && !slab->first->users && slab->first->last) {
            genai__piece_unlink(slab->first);
            slab->open = 0;
        }
    genai__chunk *chunk = ctx->chunks;
    for (; chunk && chunk->next && mark >= chunk->size; chunk = chunk->next) mark -= chunk->size;
    ctx->chunk = chunk;
    if (chunk && chunk->used > mark) chunk->used = mark;
    while (chunk && (chunk = chunk->next) != NULL) chunk->used = 0;
}

/* A tensor on the tape. Its values are those of `over`, or room that isn't cleared if that is NULL. */
static genai_tensor *genai__temporary(genai_ctx *ctx, int ndim, const int *dim, const genai_tensor *over) {
    size_t        at = genai__arena_position(ctx);
    genai_tensor *t = (genai_tensor *)genai__arena(ctx, sizeof *t);
    if (!t) return NULL;
    genai__tensor_init(ctx, t, ndim, dim, over ? over->data : NULL);
    t->flags = GENAI__ON_TAPE | (ctx->walk ? (unsigned)GENAI__GRADIENT : 0);
    t->at = at;
    if (over && over->flags & GENAI__HOLDS) genai__piece_of(over->data)->users++;
    else if (!over && t->count * sizeof(float) > GENAI__SMALL) t->data = genai__take(ctx, t->count * sizeof(float));
    else if (!over) t->data = (float *)genai__arena(ctx, t->count * sizeof(float));
    if (!t->data) return NULL;
    if (over ? over->flags & GENAI__HOLDS : t->count * sizeof(float) > GENAI__SMALL) t->flags |= GENAI__HOLDS;
    t->previous = ctx->last;
    if (ctx->last) ctx->last->next = t;
    else ctx->first = t;
    ctx->last = t;
    return t;
}

/* --- public --- */
GENAI_API genai_tensor *genai_tensor_create(genai_ctx *ctx, int ndim, const int *dim) {
    size_t count;
    if (!ctx || !(count = genai__shape_count(ctx, "genai_tensor_create", ndim, dim))) return NULL;
    genai_tensor *t = (genai_tensor *)genai__alloc(ctx, 1, sizeof *t);
    float *data = t ? (float *)genai__alloc(ctx, count, sizeof(float)) : NULL;
    if (!data) {
        genai__free(ctx, t);
        return NULL;
    }
    genai__tensor_init(ctx, t, ndim, dim, data);
    return t;
}

GENAI_API void genai_tensor_destroy(genai_tensor *t) {
    if (!t || t->flags & GENAI__ON_TAPE) return;
    genai_tensor_destroy(t->grad);
    genai__free(t->ctx, t->data);
    genai__free(t->ctx, t);
}

GENAI_API genai_tensor *genai_tensor_of(genai_ctx *ctx, int ndim, const int *dim, const float *values) {
    if (!ctx || !genai__shape_count(ctx, "genai_tensor_of", ndim, dim)) return NULL;
    genai_tensor *t = genai__temporary(ctx, ndim, dim, NULL);
    if (t && values) memcpy(t->data, values, t->count * sizeof(float));
    else if (t) memset(t->data, 0, t->count * sizeof(float));
    return t;
}

GENAI_API genai_tensor *genai_scalar(genai_ctx *ctx, float value) { return genai_tensor_of(ctx, 0, NULL, &value); }
GENAI_API float         genai_value(const genai_tensor *t) { return t && t->data ? t->data[0] : 0.0f; }

/* ====================================================================================================================
 * >>tape (private)
 * genai__apply runs an op and, if a gradient will be wanted, leaves its inputs in the result: the tape is the list of
 * results in order. Differentiation walks it backwards; each op's `backward` computes the inputs' gradients with ops, so
 * they can be recorded and differentiated again. What no wanted leaf depends on is never computed.
 * ================================================================================================================= */
typedef struct genai__op {
    const char *name;
    int         arity;                                      /* inputs that must not be NULL; a bias may follow      */
    genai_result (*shape)(genai_tensor *y);                 /* y's dims from y->in and its attributes, or the error */
    genai_result (*forward)(genai_tensor *y);
    void (*backward)(genai_tensor *y, genai_tensor *dy, genai_tensor **dx); /* dx[i] for wanted inputs; NULL: none  */
    int         view;                                       /* y's values are those of its first input              */
} genai__op;

static GENAI__PRINTF(2, 3) genai_result genai__op_fail(const genai_tensor *y, const char *format, ...) { /* "conv2d: ..." */
    char text[384];
    GENAI__FORMAT(text, sizeof text, format);
    return genai__fail(y->ctx, GENAI_ERROR_SHAPE, "%s: %s", y->op->name, text);
}

static double genai__apply_bytes(const genai_tensor *y) {
    size_t count = y->count;
    for (int i = 0; i < 3; i++) count += y->in[i] ? y->in[i]->count : 0;
    return (double)count * sizeof(float);
}

/* proto: a tensor struct with inputs and attributes filled in, and in `over` the tensor whose memory takes the result (NULL: memory of its own). */
static genai_tensor *genai__apply(const genai__op *op, genai_tensor *proto) {
    int wanted = 0;
    for (int i = 0; i < op->arity; i++) if (!proto->in[i]) return NULL;
    genai_ctx *ctx = proto->ctx = proto->in[0]->ctx;
    proto->op = op;
    if (op->shape(proto) || !genai__shape_count(ctx, op->name, proto->ndim, proto->dim)) return NULL;
    genai_tensor *y = genai__temporary(ctx, proto->ndim, proto->dim, op->view ? proto->in[0] : proto->over);
    if (!y) return NULL;
    y->op = op;
    for (int i = 0; i < 3; i++) wanted |= proto->in[i] && proto->in[i]->requires_grad;
    memcpy(y->in, proto->in, sizeof y->in);
    memcpy(y->aux, proto->aux, sizeof y->aux);
    memcpy(y->i, proto->i, sizeof y->i);
    memcpy(y->f, proto->f, sizeof y->f);
    y->saved = proto->saved;
    uint64_t mode = genai__fp_enter();
    if (!op->view) genai__trace(ctx, op->name, 0, 0, 0);
    genai_result result = op->forward ? op->forward(y) : GENAI_OK;
    if (!op->view) genai__trace(ctx, op->name, 0, 1, genai__apply_bytes(y));
    genai__fp_leave(mode);
    if (result) return NULL;
    if (wanted && ctx->recording && op->backward) y->requires_grad = 1;
    else {
        y->op = NULL;
        y->in[0] = y->in[1] = y->in[2] = NULL;
    }
    return y;
}

GENAI_API int genai_recording(genai_ctx *ctx, int on) {
    if (!ctx) return 0;
    int before = ctx->recording;
    ctx->recording = on;
    return before;
}

/* --- differentiation --- */
enum { GENAI__NO_WALK, GENAI__TO_TARGETS, GENAI__TO_LEAVES }; /* walk: what gradients are on the way to, while none is recorded */

static int genai__wants(const genai_tensor *y, int i) { return y->in[i] && y->in[i]->flags & GENAI__WANTED; }

/* Is g a gradient that only the op which is being differentiated needs, so that its result may be written over it? */
static int genai__spent(const genai_tensor *g) { return g->flags & GENAI__GRADIENT && g->flags & GENAI__HOLDS && g->held == 1 && genai__piece_of(g->data)->users == 1; }

static void genai__let_go(genai_tensor *g) {
    if (--g->held == 0 && g->flags & GENAI__GRADIENT) genai__drop(g);
}

static void genai__add_in_place(genai_tensor *y, genai_tensor *x);

/* Adds dx to leaf's grad, where it may lie already. */
static genai_result genai__collect(genai_tensor *leaf, genai_tensor *dx) {
    genai_tensor *g = leaf->grad;
    if (!g) {
        g = leaf->grad = leaf->flags & GENAI__ON_TAPE ? genai_tensor_of(leaf->ctx, leaf->ndim, leaf->dim, NULL) : genai_tensor_create(leaf->ctx, leaf->ndim, leaf->dim);
        if (!g) return leaf->ctx->result;
        g->held++;
    }
    genai__trace(leaf->ctx, "add_gradients", 0, 0, 0);
    if (!(g->flags & GENAI__UNSET)) genai__add_in_place(g, dx);
    else if (g->data != dx->data) memcpy(g->data, dx->data, g->count * sizeof(float));
    g->flags &= ~(unsigned)GENAI__UNSET;
    genai__trace(leaf->ctx, "add_gradients", 0, 1, 3.0 * (double)g->count * sizeof(float));
    return GENAI_OK;
}

static genai_result genai__add_gradient(genai_tensor *t, genai_tensor *dx) {
    if (!dx) return t->ctx->result ? t->ctx->result : GENAI_ERROR_UNSUPPORTED;
    if (!t->op && t->ctx->walk == GENAI__TO_LEAVES) return genai__collect(t, dx);
    if (!t->pending) t->pending = dx;
    else {
        double bytes = 0; /* a genai_add reports its own */
        genai__trace(t->ctx, "add_gradients", 0, 0, 0);
        if (genai__spent(t->pending)) {
            bytes = 3.0 * (double)t->count * sizeof(float);
            genai__add_in_place(t->pending, dx);
            dx = NULL;
        } else {
            genai_tensor *sum = genai_add(t->pending, dx);
            genai__let_go(t->pending);
            t->pending = dx = sum;
        }
        genai__trace(t->ctx, "add_gradients", 0, 1, bytes);
    }
    if (dx) dx->held++;
    return t->pending ? GENAI_OK : t->ctx->result;
}

static void genai__set_flag(genai_tensor *t, unsigned flag, int on) {
    t->flags &= ~flag;
    if (on) t->flags |= flag;
}

/* Marks y and what it was made from wherever a wanted leaf or a target lies below. */
static void genai__mark_wanted(genai_tensor *y, int leaves) {
    for (genai_tensor *t = y->ctx->first; t; t = t->next) {
        int wanted = 0;
        for (int i = 0; i < 3; i++) {
            genai_tensor *in = t->in[i];
            if (!in) continue;
            if (!in->op) genai__set_flag(in, GENAI__WANTED, in->flags & GENAI__TARGET || (leaves && in->requires_grad));
            wanted |= (in->flags & GENAI__WANTED) != 0;
        }
        if (t->op) genai__set_flag(t, GENAI__WANTED, wanted || t->flags & GENAI__TARGET);
        if (t == y) break;
    }
}

/* Makes dropped values again, of an op whose forward can be repeated; whoever is through with them says genai__spare. */
static genai_result genai__remake(genai_tensor *t) {
    if (t->data) return GENAI_OK;
    if (t->op->view && genai__remake(t->in[0])) return GENAI_ERROR_MEMORY;
    t->data = t->op->view ? t->in[0]->data : genai__take(t->ctx, t->count * sizeof(float));
    if (!t->data) return GENAI_ERROR_MEMORY;
    if (t->op->view) genai__piece_of(t->data)->users++;
    t->flags |= GENAI__HOLDS | GENAI__REMADE;
    if (t->op->view) return GENAI_OK;
    genai__trace(t->ctx, t->op->name, 0, 0, 0);
    genai_result result = t->op->forward(t);
    genai__trace(t->ctx, t->op->name, 0, 1, genai__apply_bytes(t));
    return result;
}

static void genai__spare(genai_tensor *t) {
    for (; t && t->flags & GENAI__REMADE && t->ctx->walk; t = t->op->view ? t->in[0] : NULL) genai__drop(t);
}

/* Walks back from y: adds dy/dt to the grad of leaves, or leaves it in t->pending of every target; other pending fields are
 * NULL afterwards. seed: what y's own gradient is; NULL: ones. If nothing is to be recorded, each gradient is dropped as soon as
 * the op that it went into is done; and so are the values of all that was made from position `keep` on. */
static genai_result genai__differentiate(genai_tensor *y, genai_tensor *seed, int leaves, int record, size_t keep) {
    genai_ctx    *ctx = y->ctx;
    genai_result  result = GENAI_OK;
    genai_tensor *t, *s, *dx[3];
    int           recording = genai_recording(ctx, record);
    uint64_t      mode = genai__fp_enter();
    genai__mark_wanted(y, leaves);
    ctx->walk = ctx->recording ? GENAI__NO_WALK : leaves ? GENAI__TO_LEAVES : GENAI__TO_TARGETS;
    y->pending = seed ? seed : genai_tensor_of(ctx, y->ndim, y->dim, NULL);
    if (!y->pending) result = ctx->result;
    else y->pending->held++;
    for (size_t k = 0; !result && !seed && k < y->count; k++) y->pending->data[k] = 1.0f;
    if (!result && leaves && !y->op) {
        result = genai__collect(y, y->pending);
        y->pending = NULL;
    }
    for (t = y; t; t = t->previous) {
        genai_tensor *dy = t->op ? t->pending : NULL, *before = ctx->last;
        if (dy && t->flags & GENAI__TARGET) dy->held++;
        else if (dy) t->pending = NULL;
        if (dy && !result && t->flags & GENAI__WANTED && (genai__wants(t, 0) || genai__wants(t, 1) || genai__wants(t, 2))) {
            dx[0] = dx[1] = dx[2] = NULL;
            if (genai__wants(t, 1)) result = genai__remake(t->in[0]);
            genai__trace(ctx, t->op->name, 1, 0, 0);
            if (!result) t->op->backward(t, dy, dx);
            genai__trace(ctx, t->op->name, 1, 1, 0);
            for (int i = 0; i < 3 && !result; i++)
                if (genai__wants(t, i)) result = genai__add_gradient(t->in[i], dx[i]);
            if (result && !ctx->result)
                genai__fail(ctx, result, "%s: its gradient can't be differentiated again", t->op->name);
            for (s = before->next; s; s = s->next)
                if (s->flags & GENAI__GRADIENT && !s->held) genai__drop(s);
        }
        if (dy) genai__let_go(dy);
        if (t->at >= keep) genai__drop(t);
    }
    ctx->walk = GENAI__NO_WALK;
    genai__fp_leave(mode);
    ctx->recording = recording;
    return result;
}

/* Where the gradient of input i may be written at once: the grad of a leaf that counts as zeros; or NULL. */
static genai_tensor *genai__over_grad(const genai_tensor *y, int i) {
    genai_tensor *g = y->ctx->walk == GENAI__TO_LEAVES && !y->in[i]->op ? y->in[i]->grad : NULL;
    return g && g->flags & GENAI__UNSET ? g : NULL;
}

static genai_result genai__backward(genai_tensor *loss, size_t keep) {
    char shape[64];
    if (!loss) return GENAI_ERROR_ARGUMENT;
    if (loss->count != 1)
        return genai__fail(loss->ctx, GENAI_ERROR_SHAPE, "genai_backward: a loss has one element, this has shape %s", genai__shape_text(loss, shape));
    if (!loss->requires_grad) return genai__fail(loss->ctx, GENAI_ERROR_ARGUMENT, "genai_backward: the loss depends on nothing that requires a gradient");
    return genai__differentiate(loss, NULL, 1, 0, keep);
}
GENAI_API genai_result genai_backward(genai_tensor *loss) { return genai__backward(loss, (size_t)-1); }

static genai_result genai__grad(genai_tensor *y, genai_tensor *dy, int n, genai_tensor **x, genai_tensor **dx, int create_graph) {
    if (!y || !x || !dx) return GENAI_ERROR_ARGUMENT;
    for (int i = 0; i < n; i++) {
        dx[i] = NULL;
        if (!x[i]) return GENAI_ERROR_ARGUMENT;
        if (!x[i]->requires_grad)
            return genai__fail(y->ctx, GENAI_ERROR_ARGUMENT, "genai_grad: x[%d] doesn't require a gradient: set requires_grad before the ops that use it", i);
    }
    for (int i = 0; i < n; i++) x[i]->flags |= GENAI__TARGET;
    genai_result result = genai__differentiate(y, dy, 0, create_graph, (size_t)-1);
    for (int i = 0; i < n; i++) x[i]->flags &= ~(unsigned)GENAI__TARGET;
    for (int i = 0; i < n && !result; i++) {
        dx[i] = x[i]->pending ? x[i]->pending : genai_tensor_of(y->ctx, x[i]->ndim, x[i]->dim, NULL);
        if (!dx[i]) result = y->ctx->result;
    }
    for (int i = 0; i < n; i++) x[i]->pending = NULL;
    y->pending = NULL;
    return result;
}
GENAI_API genai_result genai_grad(genai_tensor *y, int n, genai_tensor **x, genai_tensor **dx, int create_graph) {
    return genai__grad(y, NULL, n, x, dx, create_graph);
}
GENAI_API genai_result genai_grad_from(genai_tensor *y, genai_tensor *dy, int n, genai_tensor **x, genai_tensor **dx, int create_graph) {
    char ty[64], td[64];
    if (!y || !dy) return GENAI_ERROR_ARGUMENT;
    if (!genai__same_shape(y, dy))
        return genai__fail(y->ctx, GENAI_ERROR_SHAPE, "genai_grad_from: y %s and dy %s differ in shape", genai__shape_text(y, ty), genai__shape_text(dy, td));
    return genai__grad(y, dy, n, x, dx, create_graph);
}

/* ====================================================================================================================
 * >>ops (private)
 * One block for each op: shape, forward, backward, descriptor, public function. First the elementwise ones, made from the
 * rows in >>kernels.
 * ================================================================================================================= */

/* What genai__apply makes a result of: inputs, and the tensor that it may be written over, or NULL. */
static genai_tensor genai__proto(genai_tensor *a, genai_tensor *b, genai_tensor *c, genai_tensor *over) {
    genai_tensor t = GENAI__ZEROED;
    t.in[0] = a;
    t.in[1] = b;
    t.in[2] = c;
    t.over = over;
    return t;
}

/* The result of an op whose attributes are up to three numbers. */
static genai_tensor *genai__apply_to(const genai__op *op, genai_tensor *a, genai_tensor *b, int i0, int i1, int i2) {
    genai_tensor t = genai__proto(a, b, NULL, NULL);
    t.i[0] = i0;
    t.i[1] = i1;
    t.i[2] = i2;
    return genai__apply(op, &t);
}

/* --- elementwise, one input --- */
static genai_result genai__shape_of_first(genai_tensor *y) { return genai__set_shape(y, y->in[0]->ndim, y->in[0]->dim); }

typedef struct genai__unary_job {
    const genai__unary *k;
    int                 order; /* 0: f, 1: d1, 2: d2 */
    const float        *g, *h, *x, *y;
    float              *to, p, q;
} genai__unary_job;

static void genai__unary_chunk(void *arg, size_t from, size_t n) {
    const genai__unary_job *j = (const genai__unary_job *)arg;
    if (j->order == 0) j->k->f(n, j->x + from, j->to + from, j->p, j->q);
    else if (j->order == 1) j->k->d1(n, j->g + from, j->x + from, j->y + from, j->to + from, j->p, j->q);
    else j->k->d2(n, j->g + from, j->h + from, j->x + from, j->y + from, j->to + from, j->p, j->q);
}

static const genai__unary *genai__unary_at_offset(const genai_tensor *t, int offset) { /* of the kernel table */
    return (const genai__unary *)(const void *)((const char *)t->ctx->kernels + offset);
}

/* t->i[0] is the function's offset in the kernel table. Order 1: in g, x; order 2: in g, h, x; aux[0] is f(x). */
static genai_result genai__unary_forward(genai_tensor *t, int order) {
    genai__unary_job j = {genai__unary_at_offset(t, t->i[0]), order, NULL, NULL, t->in[order]->data, NULL, t->data, t->f[0], t->f[1]};
    if (order) j.g = t->in[0]->data;
    if (order == 2) j.h = t->in[1]->data;
    if (order) j.y = t->aux[0]->data ? t->aux[0]->data : j.x; /* dropped where the derivatives do without it */
    return genai__for_chunks(t->ctx, t->count, genai__unary_chunk, &j);
}
static genai_result genai__unary_f(genai_tensor *t) { return genai__unary_forward(t, 0); }
static genai_result genai__unary_d1(genai_tensor *t) { return genai__unary_forward(t, 1); }
static genai_result genai__unary_d2(genai_tensor *t) { return genai__unary_forward(t, 2); }

static genai_tensor *genai__unary_derive(const genai__op *op, const genai_tensor *from, genai_tensor *a, genai_tensor *b, genai_tensor *c,
                                         genai_tensor *value, genai_tensor *over) {
    genai_tensor t = genai__proto(a, b, c, over);
    t.aux[0] = value;
    t.i[0] = from->i[0];
    memcpy(t.f, from->f, sizeof t.f);
    return genai__apply(op, &t);
}

/* q f''(x), q = g h: the end of the chain, third derivatives aren't offered */
static void genai__unary_d2_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) { (void)y; (void)dy; (void)dx; }
static const genai__op genai__op_unary_d2 = {"the second derivative of an elementwise function", 3, genai__shape_of_first, genai__unary_d2, genai__unary_d2_backward, 0};

/* g f'(x): linear in g; its derivative with respect to x is g h f''(x) */
static void genai__unary_d1_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx);
static const genai__op genai__op_unary_d1 = {"the derivative of an elementwise function", 2, genai__shape_of_first, genai__unary_d1, genai__unary_d1_backward, 0};
static void genai__unary_d1_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    if (genai__wants(y, 0)) dx[0] = genai__unary_derive(&genai__op_unary_d1, y, dy, y->in[1], NULL, y->aux[0], NULL);
    if (genai__wants(y, 1)) dx[1] = genai__unary_derive(&genai__op_unary_d2, y, dy, y->in[0], y->in[1], y->aux[0], NULL);
}

/* Where f is made of straight lines, its second derivative is 0, and nobody need walk back to x to learn that. */
static genai_tensor *genai__unary_at(const genai_tensor *y) {
    static const size_t straight[] = {offsetof(genai__kernels, scale), offsetof(genai__kernels, relu), offsetof(genai__kernels, leaky_relu),
                                      offsetof(genai__kernels, abs), offsetof(genai__kernels, clamp)};
    for (size_t i = 0; i < GENAI__COUNT(straight) && y->ctx->recording; i++)
        if (y->i[0] == (int)straight[i]) return genai_detach(y->in[0]);
    return y->in[0];
}
static void genai__unary_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    dx[0] = genai__unary_derive(&genai__op_unary_d1, y, dy, genai__unary_at(y), NULL, y, genai__spent(dy) ? dy : NULL);
}

static genai_tensor *genai__unary_apply(const genai__op *op, size_t offset, genai_tensor *x, float p, float q, genai_tensor *over) {
    genai_tensor t = genai__proto(x, NULL, NULL, over);
    t.i[0] = (int)offset;
    t.f[0] = p;
    t.f[1] = q;
    return genai__apply(op, &t);
}

#define GENAI__X(name, f, d1, d2) \
    static const genai__op genai__op_##name = {#name, 1, genai__shape_of_first, genai__unary_f, genai__unary_backward, 0};
GENAI__UNARY_OPS(GENAI__X)
#undef GENAI__X
#define GENAI__APPLY(name, p, q) genai__unary_apply(&genai__op_##name, offsetof(genai__kernels, name), x, p, q, NULL)
GENAI_API genai_tensor *genai_scale(genai_tensor *x, float scale, float shift) { return GENAI__APPLY(scale, scale, shift); }
GENAI_API genai_tensor *genai_neg(genai_tensor *x) { return genai_scale(x, -1.0f, 0.0f); }
GENAI_API genai_tensor *genai_square(genai_tensor *x) { return GENAI__APPLY(square, 0.0f, 0.0f); }
GENAI_API genai_tensor *genai_sqrt(genai_tensor *x) { return GENAI__APPLY(sqrt, 0.0f, 0.0f); }
GENAI_API genai_tensor *genai_exp(genai_tensor *x) { return GENAI__APPLY(exp, 0.0f, 0.0f); }
GENAI_API genai_tensor *genai_log(genai_tensor *x) { return GENAI__APPLY(log, 0.0f, 0.0f); }
GENAI_API genai_tensor *genai_tanh(genai_tensor *x) { return GENAI__APPLY(tanh, 0.0f, 0.0f); }
GENAI_API genai_tensor *genai_sigmoid(genai_tensor *x) { return GENAI__APPLY(sigmoid, 0.0f, 0.0f); }
GENAI_API genai_tensor *genai_softplus(genai_tensor *x) { return GENAI__APPLY(softplus, 0.0f, 0.0f); }
GENAI_API genai_tensor *genai_relu(genai_tensor *x) { return GENAI__APPLY(relu, 0.0f, 0.0f); }
GENAI_API genai_tensor *genai_leaky_relu(genai_tensor *x, float slope) { return GENAI__APPLY(leaky_relu, slope, 0.0f); }
GENAI_API genai_tensor *genai_elu(genai_tensor *x, float alpha) { return GENAI__APPLY(elu, alpha, 0.0f); }
GENAI_API genai_tensor *genai_gelu(genai_tensor *x) { return GENAI__APPLY(gelu, 0.0f, 0.0f); }
GENAI_API genai_tensor *genai_silu(genai_tensor *x) { return GENAI__APPLY(silu, 0.0f, 0.0f); }
GENAI_API genai_tensor *genai_abs(genai_tensor *x) { return GENAI__APPLY(abs, 0.0f, 0.0f); }
GENAI_API genai_tensor *genai_clamp(genai_tensor *x, float low, float high) { return GENAI__APPLY(clamp, low, high); }
#undef GENAI__APPLY

/* --- elementwise, two inputs, broadcast --- */
typedef struct genai__broadcast { /* up to 4 dims, merged where both inputs go on or stand still together */
    genai__binary *f;
    const float   *a, *b;
    float         *y;
    int            ndim;
    size_t         dim[4], a_step[4], b_step[4]; /* in elements; 0 where the input is repeated */
} genai__broadcast;

static void genai__broadcast_chunk(void *arg, size_t from, size_t n) {
    const genai__broadcast *j = (const genai__broadcast *)arg;
    j->f(n, j->a + from * j->a_step[0], j->a_step[0], j->b + from * j->b_step[0], j->b_step[0], j->y + from);
}

static void genai__broadcast_row(void *arg, size_t row) { /* rows: all dims but the last */
    const genai__broadcast *j = (const genai__broadcast *)arg;
    size_t                  n = j->dim[j->ndim - 1], rest = row, a = 0, b = 0;
    for (int d = j->ndim - 2; d >= 0; d--) {
        a += rest % j->dim[d] * j->a_step[d];
        b += rest % j->dim[d] * j->b_step[d];
        rest /= j->dim[d];
    }
    j->f(n, j->a + a, j->a_step[j->ndim - 1], j->b + b, j->b_step[j->ndim - 1], j->y + row * n);
}

/* y = f(a, b), a and b broadcast to y's shape, which they fit. */
static void genai__broadcast_run(genai__binary *f, const genai_tensor *a, const genai_tensor *b, genai_tensor *y) {
    genai__broadcast j = {f, a->data, b->data, y->data, 0, {0}, {0}, {0}};
    size_t           a_size = a->count, b_size = b->count;
    int              d, n = 0;
    for (d = 0; d < y->ndim; d++) {
        int    ad = d - (y->ndim - a->ndim), bd = d - (y->ndim - b->ndim);
        size_t size = (size_t)y->dim[d];
        int    a_full = ad >= 0 && a->dim[ad] == y->dim[d], b_full = bd >= 0 && b->dim[bd] == y->dim[d];
        if (size == 1) continue;
        if (a_full) a_size /= size;
        if (b_full) b_size /= size;
        if (n && (j.a_step[n - 1] != 0) == a_full && (j.b_step[n - 1] != 0) == b_full) n--;
        else j.dim[n] = 1;
        j.dim[n] *= size;
        j.a_step[n] = a_full ? a_size : 0;
        j.b_step[n] = b_full ? b_size : 0;
        n++;
    }
    if (!n) j.dim[n++] = 1;
    j.ndim = n;
    if (n == 1) genai__for_chunks(y->ctx, j.dim[0], genai__broadcast_chunk, &j);
    else genai__for_rows(y->ctx, y->count / j.dim[n - 1], j.dim[n - 1], genai__broadcast_row, &j);
}

static void genai__add_in_place(genai_tensor *y, genai_tensor *x) { genai__broadcast_run(y->ctx->kernels->add, y, x, y); } /* of equal shapes */

static genai_result genai__binary_shape(genai_tensor *y) {
    const genai_tensor *a = y->in[0], *b = y->in[1];
    int                 d, dim[4], n = a->ndim > b->ndim ? a->ndim : b->ndim;
    char                ta[64], tb[64];
    for (d = 0; d < n; d++) {
        int ad = d - (n - a->ndim) >= 0 ? a->dim[d - (n - a->ndim)] : 1, bd = d - (n - b->ndim) >= 0 ? b->dim[d - (n - b->ndim)] : 1;
        if (ad != bd && ad != 1 && bd != 1) return genai__op_fail(y, "shapes %s and %s don't broadcast", genai__shape_text(a, ta), genai__shape_text(b, tb));
        dim[d] = ad > bd ? ad : bd;
    }
    return genai__set_shape(y, n, dim);
}

static genai_result genai__binary_forward(genai_tensor *y) {
    genai__binary *f;
    memcpy(&f, (const char *)y->ctx->kernels + y->i[0], sizeof f);
    genai__broadcast_run(f, y->in[0], y->in[1], y);
    return GENAI_OK;
}

/* g summed over what was broadcast, back to the shape of `to`. */
static genai_tensor *genai__sum_to(genai_tensor *g, const genai_tensor *to) {
    unsigned axes = 0;
    if (!g || genai__same_shape(g, to)) return g;
    for (int d = 0; d < g->ndim; d++) {
        int td = d - (g->ndim - to->ndim);
        if (g->dim[d] != 1 && (td < 0 || to->dim[td] == 1)) axes |= 1u << d;
    }
    return genai_reshape(axes ? genai_sum(g, axes) : g, to->ndim, to->dim);
}

static genai_tensor *genai__greater(genai_tensor *a, genai_tensor *b);
static void genai__add_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    if (genai__wants(y, 0)) dx[0] = genai__sum_to(dy, y->in[0]);
    if (genai__wants(y, 1)) dx[1] = genai__sum_to(dy, y->in[1]);
}
static void genai__sub_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    if (genai__wants(y, 0)) dx[0] = genai__sum_to(dy, y->in[0]);
    if (genai__wants(y, 1)) dx[1] = genai__sum_to(genai_neg(dy), y->in[1]);
}
static void genai__mul_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    if (genai__wants(y, 0)) dx[0] = genai__sum_to(genai_mul(dy, y->in[1]), y->in[0]);
    if (genai__wants(y, 1)) dx[1] = genai__sum_to(genai_mul(dy, y->in[0]), y->in[1]);
}
static void genai__div_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    genai_tensor *q = genai_div(dy, y->in[1]);
    if (genai__wants(y, 0)) dx[0] = genai__sum_to(q, y->in[0]);
    if (genai__wants(y, 1)) dx[1] = genai__sum_to(genai_neg(genai_mul(q, genai_div(y->in[0], y->in[1]))), y->in[1]);
}
/* `second` is 1 where y took b */
static void genai__choice_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx, genai_tensor *second) {
    genai_tensor *to_b = genai_mul(dy, second);
    if (genai__wants(y, 0)) dx[0] = genai__sum_to(genai_sub(dy, to_b), y->in[0]);
    if (genai__wants(y, 1)) dx[1] = genai__sum_to(to_b, y->in[1]);
}
static void genai__min_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) { genai__choice_backward(y, dy, dx, genai__greater(y->in[0], y->in[1])); }
static void genai__max_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) { genai__choice_backward(y, dy, dx, genai__greater(y->in[1], y->in[0])); }
#define genai__greater_backward NULL /* its derivative is 0: the result is a constant */
#define GENAI__X(name, f) \
    static const genai__op genai__op_##name = {#name, 2, genai__binary_shape, genai__binary_forward, genai__##name##_backward, 0};
GENAI__BINARY_OPS(GENAI__X)
#undef GENAI__X
#undef genai__greater_backward

#define GENAI__APPLY(name) genai__apply_to(&genai__op_##name, a, b, (int)offsetof(genai__kernels, name), 0, 0)
GENAI_API genai_tensor *genai_add(genai_tensor *a, genai_tensor *b) { return GENAI__APPLY(add); }
GENAI_API genai_tensor *genai_sub(genai_tensor *a, genai_tensor *b) { return GENAI__APPLY(sub); }
GENAI_API genai_tensor *genai_mul(genai_tensor *a, genai_tensor *b) { return GENAI__APPLY(mul); }
GENAI_API genai_tensor *genai_div(genai_tensor *a, genai_tensor *b) { return GENAI__APPLY(div); }
GENAI_API genai_tensor *genai_min(genai_tensor *a, genai_tensor *b) { return GENAI__APPLY(min); }
GENAI_API genai_tensor *genai_max(genai_tensor *a, genai_tensor *b) { return GENAI__APPLY(max); }
static genai_tensor    *genai__greater(genai_tensor *a, genai_tensor *b) { return GENAI__APPLY(greater); } /* 1 where a > b */

/* --- sum, and its adjoint: expand --- */
typedef struct genai__reduction { /* y[outer][inner] = sum over r of x[outer][r][inner] */
    genai_ctx   *ctx;
    const float *x;
    float       *y;
    size_t       r, inner, parts, part_rows;
} genai__reduction;

static void genai__reduce_row(void *arg, size_t row) { /* inner is 1: a whole row */
    const genai__reduction *j = (const genai__reduction *)arg;
    j->y[row] = j->ctx->kernels->sum(j->r, j->x + row * j->r);
}
static void genai__reduce_columns(void *arg, size_t index) { /* a part of the rows of one outer index */
    const genai__reduction *j = (const genai__reduction *)arg;
    size_t                  o = index / j->parts, from = index % j->parts * j->part_rows;
    j->ctx->kernels->column_sums(genai__smaller(j->part_rows, j->r - from), j->inner, j->x + (o * j->r + from) * j->inner, j->y + index * j->inner);
}

/* How many rows of `width` values make a part: by the shape only. */
static size_t genai__part_rows(size_t rows, size_t width) {
    size_t part = GENAI__CHUNK / (width ? width : 1) + 1, least = (rows + 255) / 256;
    return part > least ? part : least;
}

static genai_result genai__reduce(genai_ctx *ctx, const float *x, size_t outer, size_t r, size_t inner, float *y) {
    genai__reduction j = {ctx, x, y, r, inner, 0, 0};
    if (inner == 1) {
        if (outer == 1 && r > GENAI__CHUNK) { /* one long row: parts first */
            size_t n = r / GENAI__CHUNK, rest = r % GENAI__CHUNK;
            float *part = genai__take(ctx, (n + 1) * sizeof(float));
            if (!part) return GENAI_ERROR_MEMORY;
            genai_result result = genai__reduce(ctx, x, n, GENAI__CHUNK, 1, part);
            part[n] = ctx->kernels->sum(rest, x + n * GENAI__CHUNK);
            if (!result) result = genai__reduce(ctx, part, 1, n + 1, 1, y);
            genai__give(ctx, part);
            return result;
        }
        return genai__for_rows(ctx, outer, r, genai__reduce_row, &j);
    }
    j.part_rows = genai__part_rows(r, inner);
    j.parts = (r + j.part_rows - 1) / j.part_rows;
    if (j.parts > 1 && !(j.y = genai__take(ctx, outer * j.parts * inner * sizeof(float)))) return GENAI_ERROR_MEMORY;
    genai__for_rows(ctx, outer * j.parts, genai__smaller(j.part_rows, r) * inner, genai__reduce_columns, &j);
    if (j.parts == 1) return GENAI_OK;
    for (size_t o = 0; o < outer; o++) {
        memcpy(y + o * inner, j.y + o * j.parts * inner, inner * sizeof(float));
        for (size_t p = 1; p < j.parts; p++) ctx->kernels->add_to(inner, y + o * inner, j.y + (o * j.parts + p) * inner);
    }
    genai__give(ctx, j.y);
    return GENAI_OK;
}

static float genai__inverse(float x) { /* 1/x, rounded as we round */
    uint64_t mode = genai__fp_enter();
    float    y = 1.0f / x;
    genai__fp_leave(mode);
    return y;
}

static genai_result genai__sum_shape(genai_tensor *y) {
    const genai_tensor *x = y->in[0];
    unsigned            all = (1u << x->ndim) - 1u, axes = (unsigned)y->i[0];
    int                 d, dim[4];
    if (!axes) y->i[0] = (int)(axes = all);
    if (axes & ~all) return genai__op_fail(y, "axes 0x%x name more than the tensor's %d dims", axes, x->ndim);
    for (d = 0; d < x->ndim; d++) dim[d] = axes >> d & 1 ? 1 : x->dim[d];
    return genai__set_shape(y, x->ndim, dim);
}

/* Groups of neighbouring summed dims, the last group first. */
static genai_result genai__sum_forward(genai_tensor *y) {
    const genai_tensor *x = y->in[0];
    const float        *from = x->data;
    genai_result        result = GENAI_OK;
    size_t              size[4], outer, inner, r;
    int                 d, e, i, groups = 0, done = 0;
    unsigned            axes = (unsigned)y->i[0];
    for (d = 0; d < 4; d++) size[d] = d < x->ndim ? (size_t)x->dim[d] : 1;
    for (d = 0; d < x->ndim; d++)
        if (axes >> d & 1 && (d == 0 || !(axes >> (d - 1) & 1))) groups++;
    if (!groups) memcpy(y->data, x->data, y->count * sizeof(float));
    for (d = x->ndim - 1; d >= 0 && !result; d = e - 1) {
        float *to = y->data;
        for (e = d; e > 0 && (axes >> (e - 1) & 1) == (axes >> d & 1); e--) {}
        if (!(axes >> d & 1)) continue;
        outer = r = inner = 1;
        for (i = 0; i < e; i++) outer *= size[i];
        for (i = e; i <= d; i++) {
            r *= size[i];
            size[i] = 1;
        }
        for (i = d + 1; i < 4; i++) inner *= size[i];
        if (++done < groups && !(to = genai__take(y->ctx, outer * inner * sizeof(float)))) result = GENAI_ERROR_MEMORY;
        if (!result) result = genai__reduce(y->ctx, from, outer, r, inner, to);
        if (from != x->data) genai__give(y->ctx, from);
        from = to;
    }
    return result;
}

static genai_result genai__expand_shape(genai_tensor *y) { return genai__set_shape(y, y->i[4], y->i); }
static genai_result genai__expand_forward(genai_tensor *y) {
    genai_tensor zero;
    float        value = 0.0f;
    genai__tensor_init(y->ctx, &zero, 0, NULL, &value);
    genai__broadcast_run(y->ctx->kernels->add, y->in[0], &zero, y);
    return GENAI_OK;
}
static const genai__op genai__op_expand = {"expand", 1, genai__expand_shape, genai__expand_forward, genai__add_backward, 0};
static genai_tensor *genai__expand_to(genai_tensor *x, int ndim, const int *dim) { /* x repeated to dims that it broadcasts to */
    genai_tensor t = genai__proto(x, NULL, NULL, NULL);
    t.i[4] = ndim;
    if (ndim) memcpy(t.i, dim, (size_t)ndim * sizeof *dim);
    return genai__apply(&genai__op_expand, &t);
}

static void genai__sum_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) { dx[0] = genai__expand_to(dy, y->in[0]->ndim, y->in[0]->dim); }
static const genai__op genai__op_sum = {"sum", 1, genai__sum_shape, genai__sum_forward, genai__sum_backward, 0};

GENAI_API genai_tensor *genai_sum(genai_tensor *x, unsigned axes) { return genai__apply_to(&genai__op_sum, x, NULL, (int)axes, 0, 0); }
GENAI_API genai_tensor *genai_mean(genai_tensor *x, unsigned axes) {
    genai_tensor *s = genai_sum(x, axes);
    return s ? genai_scale(s, genai__inverse((float)(x->count / s->count)), 0.0f) : NULL;
}

/* --- reshape, detach: other views of the same values --- */
static genai_result genai__reshape_shape(genai_tensor *y) {
    const genai_tensor *x = y->in[0];
    size_t              known = 1;
    int                 d, free_dim = -1;
    char                shape[64];
    if (y->i[4] < 0 || y->i[4] > 4) return genai__op_fail(y, "a tensor has 0 to 4 dims, not %d", y->i[4]);
    for (d = 0; d < y->i[4]; d++) {
        if (y->i[d] == -1 && free_dim < 0) free_dim = d;
        else if (y->i[d] < 1) return genai__op_fail(y, "dim %d is %d", d, y->i[d]);
        else if (!genai__mul(known, (size_t)y->i[d], &known)) known = 0;
    }
    if (free_dim >= 0 && known && x->count % known == 0 && x->count / known <= INT32_MAX) y->i[free_dim] = (int)(x->count / known);
    else if (free_dim >= 0 || known != x->count)
        return genai__op_fail(y, "%zu values of %s don't fill the new shape", x->count, genai__shape_text(x, shape));
    return genai__set_shape(y, y->i[4], y->i);
}
static void genai__reshape_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) { dx[0] = genai_reshape(dy, y->in[0]->ndim, y->in[0]->dim); }
static const genai__op genai__op_reshape = {"reshape", 1, genai__reshape_shape, NULL, genai__reshape_backward, 1};
GENAI_API genai_tensor *genai_reshape(genai_tensor *x, int ndim, const int *dim) {
    genai_tensor t = genai__proto(x, NULL, NULL, NULL);
    t.i[4] = ndim;
    if (ndim > 0 && ndim <= 4) {
        if (!dim) return NULL;
        memcpy(t.i, dim, (size_t)ndim * sizeof *dim);
    }
    return genai__apply(&genai__op_reshape, &t);
}

static const genai__op genai__op_detach = {"detach", 1, genai__shape_of_first, NULL, NULL, 1};
GENAI_API genai_tensor *genai_detach(genai_tensor *x) { return genai__apply_to(&genai__op_detach, x, NULL, 0, 0, 0); }

/* --- transpose: y.dim[i] = x.dim[order[i]], order in i[0..3] --- */
static genai_result genai__transpose_shape(genai_tensor *y) {
    const genai_tensor *x = y->in[0];
    unsigned            seen = 0;
    int                 d, dim[4];
    for (d = 0; d < x->ndim; d++) {
        if (y->i[d] < 0 || y->i[d] >= x->ndim || seen >> y->i[d] & 1) return genai__op_fail(y, "the order isn't a permutation of the %d dims", x->ndim);
        seen |= 1u << y->i[d];
        dim[d] = x->dim[y->i[d]];
    }
    return genai__set_shape(y, x->ndim, dim);
}

typedef struct genai__permutation {
    const float *x;
    float       *y;
    size_t       dim[4], step[4];
} genai__permutation;

static void genai__transpose_row(void *arg, size_t row) {
    const genai__permutation *j = (const genai__permutation *)arg;
    const float              *x = j->x + row % j->dim[2] * j->step[2] + row / j->dim[2] % j->dim[1] * j->step[1] + row / j->dim[2] / j->dim[1] * j->step[0];
    float                    *y = j->y + row * j->dim[3];
    if (j->step[3] == 1) memcpy(y, x, j->dim[3] * sizeof *y);
    else for (size_t i = 0; i < j->dim[3]; i++) y[i] = x[i * j->step[3]];
}

static genai_result genai__transpose_forward(genai_tensor *y) {
    const genai_tensor *x = y->in[0];
    genai__permutation  j = {x->data, y->data, {0}, {0}};
    size_t              step[4];
    int                 d, pad = 4 - y->ndim;
    for (d = x->ndim - 1; d >= 0; d--) step[d] = d == x->ndim - 1 ? 1 : step[d + 1] * (size_t)x->dim[d + 1];
    for (d = 0; d < 4; d++) {
        j.dim[d] = d < pad ? 1 : (size_t)y->dim[d - pad];
        j.step[d] = d < pad ? 0 : step[y->i[d - pad]];
    }
    return genai__for_rows(y->ctx, y->count / j.dim[3], j.dim[3], genai__transpose_row, &j);
}
static void genai__transpose_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    int d, inverse[4];
    for (d = 0; d < y->ndim; d++) inverse[y->i[d]] = d;
    dx[0] = genai_transpose(dy, inverse);
}
static const genai__op genai__op_transpose = {"transpose", 1, genai__transpose_shape, genai__transpose_forward, genai__transpose_backward, 0};
GENAI_API genai_tensor *genai_transpose(genai_tensor *x, const int *order) {
    genai_tensor t = genai__proto(x, NULL, NULL, NULL);
    if (!x || !order) return NULL;
    memcpy(t.i, order, (size_t)x->ndim * sizeof *order);
    return genai__apply(&genai__op_transpose, &t);
}

/* --- concat, slice, pad along one axis: runs of `inner` values --- */
static void genai__axis_sizes(const genai_tensor *x, int axis, size_t *outer, size_t *inner) {
    *outer = *inner = 1;
    for (int d = 0; d < axis; d++) *outer *= (size_t)x->dim[d];
    for (int d = axis + 1; d < x->ndim; d++) *inner *= (size_t)x->dim[d];
}
/* n times `count` values, `from_step` apart, to places `to_step` apart. */
static void genai__copy_runs(float *to, size_t to_step, const float *from, size_t from_step, size_t n, size_t count) {
    for (; n; n--, to += to_step, from += from_step) memcpy(to, from, count * sizeof *to);
}
static genai_result genai__check_axis(const genai_tensor *y, int axis) {
    if (axis >= 0 && axis < y->in[0]->ndim) return GENAI_OK;
    return genai__op_fail(y, "axis %d isn't one of the tensor's %d dims", axis, y->in[0]->ndim);
}

static genai_result genai__axis_shape(genai_tensor *y, int axis, int size) { /* that of the first input, but for one dim */
    genai__shape_of_first(y);
    y->dim[axis] = size;
    return GENAI_OK;
}

static genai_result genai__concat_shape(genai_tensor *y) { /* i: axis */
    const genai_tensor *a = y->in[0], *b = y->in[1];
    char                ta[64], tb[64];
    if (genai__check_axis(y, y->i[0])) return GENAI_ERROR_SHAPE;
    for (int d = 0; d < a->ndim; d++)
        if (a->ndim != b->ndim || (d != y->i[0] && a->dim[d] != b->dim[d]))
            return genai__op_fail(y, "%s and %s don't agree but in dim %d", genai__shape_text(a, ta), genai__shape_text(b, tb), y->i[0]);
    if (a->dim[y->i[0]] > INT32_MAX - b->dim[y->i[0]]) return genai__op_fail(y, "the result is too large");
    return genai__axis_shape(y, y->i[0], a->dim[y->i[0]] + b->dim[y->i[0]]);
}
static genai_result genai__concat_forward(genai_tensor *y) {
    size_t outer, inner, na, nb;
    genai__axis_sizes(y, y->i[0], &outer, &inner);
    na = (size_t)y->in[0]->dim[y->i[0]] * inner;
    nb = (size_t)y->in[1]->dim[y->i[0]] * inner;
    genai__copy_runs(y->data, na + nb, y->in[0]->data, na, outer, na);
    genai__copy_runs(y->data + na, na + nb, y->in[1]->data, nb, outer, nb);
    return GENAI_OK;
}
static void genai__concat_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    int axis = y->i[0], n = y->in[0]->dim[axis];
    if (genai__wants(y, 0)) dx[0] = genai_slice(dy, axis, 0, n);
    if (genai__wants(y, 1)) dx[1] = genai_slice(dy, axis, n, y->in[1]->dim[axis]);
}
static const genai__op genai__op_concat = {"concat", 2, genai__concat_shape, genai__concat_forward, genai__concat_backward, 0};
GENAI_API genai_tensor *genai_concat(genai_tensor *a, genai_tensor *b, int axis) { return genai__apply_to(&genai__op_concat, a, b, axis, 0, 0); }

static genai_result genai__slice_shape(genai_tensor *y) { /* i: axis, from, count */
    const genai_tensor *x = y->in[0];
    if (genai__check_axis(y, y->i[0])) return GENAI_ERROR_SHAPE;
    if (y->i[1] < 0 || y->i[2] < 1 || y->i[2] > x->dim[y->i[0]] - y->i[1])
        return genai__op_fail(y, "%d values from %d don't lie in dim %d of size %d", y->i[2], y->i[1], y->i[0], x->dim[y->i[0]]);
    return genai__axis_shape(y, y->i[0], y->i[2]);
}
static genai_result genai__slice_forward(genai_tensor *y) {
    size_t outer, inner, part;
    genai__axis_sizes(y, y->i[0], &outer, &inner);
    part = (size_t)y->i[2] * inner;
    genai__copy_runs(y->data, part, y->in[0]->data + (size_t)y->i[1] * inner, (size_t)y->in[0]->dim[y->i[0]] * inner, outer, part);
    return GENAI_OK;
}
static void genai__slice_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    dx[0] = genai_pad(dy, y->i[0], y->i[1], y->in[0]->dim[y->i[0]] - y->i[1] - y->i[2]);
}
static const genai__op genai__op_slice = {"slice", 1, genai__slice_shape, genai__slice_forward, genai__slice_backward, 0};
GENAI_API genai_tensor *genai_slice(genai_tensor *x, int axis, int from, int count) { return genai__apply_to(&genai__op_slice, x, NULL, axis, from, count); }

static genai_result genai__pad_shape(genai_tensor *y) { /* i: axis, before, after */
    const int *dim = y->in[0]->dim;
    if (genai__check_axis(y, y->i[0])) return GENAI_ERROR_SHAPE;
    if (y->i[1] < 0 || y->i[2] < 0) return genai__op_fail(y, "%d before and %d after: padding isn't negative", y->i[1], y->i[2]);
    if (y->i[1] > INT32_MAX - dim[y->i[0]] || y->i[2] > INT32_MAX - dim[y->i[0]] - y->i[1]) return genai__op_fail(y, "the result is too large");
    return genai__axis_shape(y, y->i[0], dim[y->i[0]] + y->i[1] + y->i[2]);
}
static genai_result genai__pad_forward(genai_tensor *y) {
    size_t outer, inner, o, part, before, after;
    float *to = y->data;
    genai__axis_sizes(y, y->i[0], &outer, &inner);
    part = (size_t)y->in[0]->dim[y->i[0]] * inner;
    before = (size_t)y->i[1] * inner;
    after = (size_t)y->i[2] * inner;
    for (o = 0; o < outer; o++, to += before + part + after) {
        memset(to, 0, before * sizeof(float));
        memcpy(to + before, y->in[0]->data + o * part, part * sizeof(float));
        memset(to + before + part, 0, after * sizeof(float));
    }
    return GENAI_OK;
}
static void genai__pad_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    dx[0] = genai_slice(dy, y->i[0], y->i[1], y->in[0]->dim[y->i[0]]);
}
static const genai__op genai__op_pad = {"pad", 1, genai__pad_shape, genai__pad_forward, genai__pad_backward, 0};
GENAI_API genai_tensor *genai_pad(genai_tensor *x, int axis, int before, int after) { return genai__apply_to(&genai__op_pad, x, NULL, axis, before, after); }

/* --- matmul: i: transpose a, transpose b; with a bias in in[2] it is dense --- */
static genai_result genai__matmul_shape(genai_tensor *y) {
    const genai_tensor *a = y->in[0], *b = y->in[1], *bias = y->in[2];
    int                 d, dim[4], m, n, k, kb;
    char                ta[64], tb[64];
    if (a->ndim < 2 || b->ndim < 2 || (b->ndim != 2 && b->ndim != a->ndim))
        return genai__op_fail(y, "%s and %s aren't matrices, or batches of the same", genai__shape_text(a, ta), genai__shape_text(b, tb));
    m = a->dim[a->ndim - (y->i[0] ? 1 : 2)];
    k = a->dim[a->ndim - (y->i[0] ? 2 : 1)];
    kb = b->dim[b->ndim - (y->i[1] ? 1 : 2)];
    n = b->dim[b->ndim - (y->i[1] ? 2 : 1)];
    if (k != kb) return genai__op_fail(y, "inner sizes %d and %d differ (%s%s times %s%s)", k, kb, genai__shape_text(a, ta), y->i[0] ? "'" : "",
                                       genai__shape_text(b, tb), y->i[1] ? "'" : "");
    for (d = 0; d < a->ndim - 2; d++) {
        dim[d] = a->dim[d];
        if (b->ndim != 2 && b->dim[d] != dim[d]) return genai__op_fail(y, "batches of %s and %s differ", genai__shape_text(a, ta), genai__shape_text(b, tb));
    }
    dim[a->ndim - 2] = m;
    dim[a->ndim - 1] = n;
    if (bias && (bias->ndim != 1 || bias->dim[0] != n)) return genai__op_fail(y, "the bias %s isn't [%d]", genai__shape_text(bias, ta), n);
    return genai__set_shape(y, a->ndim, dim);
}

static genai_result genai__matmul_forward(genai_tensor *y) {
    const genai_tensor *a = y->in[0], *b = y->in[1];
    size_t              a_cols = (size_t)a->dim[a->ndim - 1], b_cols = (size_t)b->dim[b->ndim - 1], batch, i;
    genai__gemm         g = genai__product((size_t)y->dim[y->ndim - 2], (size_t)y->dim[y->ndim - 1], y->i[0] ? (size_t)a->dim[a->ndim - 2] : a_cols);
    g.a_row = y->i[0] ? 1 : a_cols;
    g.a_col = y->i[0] ? a_cols : 1;
    g.b_row = y->i[1] ? 1 : b_cols;
    g.b_col = y->i[1] ? b_cols : 1;
    if (y->in[2]) g.bias = y->in[2]->data;
    batch = y->count / (g.m * g.n);
    y->ctx->flops += 2.0 * (double)y->count * (double)g.k;
    if (b->ndim == 2 && !y->i[0]) { /* one tall product */
        g.m *= batch;
        batch = 1;
    }
    for (i = 0; i < batch; i++) {
        g.a = a->data + i * g.m * g.k;
        g.b = b->data + (b->ndim == 2 ? 0 : i * g.k * g.n);
        g.c = y->data + i * g.m * g.n;
        genai_result result = genai__gemm_kept(y->ctx, &g, b->kept);
        if (result) return result;
    }
    return GENAI_OK;
}

static genai_tensor *genai__matmul_over(genai_tensor *a, genai_tensor *b, int transpose_a, int transpose_b, genai_tensor *over);
static void genai__matmul_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    genai_tensor *a = y->in[0], *b = y->in[1];
    int           ta = y->i[0], tb = y->i[1];
    if (genai__wants(y, 1)) {
        if (b->ndim == 2 && a->ndim > 2) {
            unsigned leading = (1u << (a->ndim - 2)) - 1u;
            if (ta) {
                genai_tensor *db = genai_sum(tb ? genai_matmul(dy, a, 1, 1) : genai_matmul(a, dy, 0, 0), leading);
                dx[1] = db ? genai_reshape(db, 2, b->dim) : NULL;
            } else { /* one tall product */
                int           a2[2] = {-1, a->dim[a->ndim - 1]}, d2[2] = {-1, dy->dim[dy->ndim - 1]};
                genai_tensor *tall = genai_reshape(a, 2, a2), *dtall = genai_reshape(dy, 2, d2);
                dx[1] = tb ? genai_matmul(dtall, tall, 1, 0) : genai_matmul(tall, dtall, 1, 0);
            }
        } else dx[1] = tb ? genai__matmul_over(dy, a, 1, ta, genai__over_grad(y, 1)) : genai__matmul_over(a, dy, !ta, 0, genai__over_grad(y, 1));
    }
    genai__spare(a);
    if (genai__wants(y, 0)) {
        if (ta && b->ndim == 2 && a->ndim > 2) { /* a' = b dy', batch by batch: (dy b')' */
            int order[4] = {0, 1, 2, 3};
            order[a->ndim - 2] = a->ndim - 1;
            order[a->ndim - 1] = a->ndim - 2;
            dx[0] = genai_transpose(genai_matmul(dy, b, 0, !tb), order);
        } else dx[0] = ta ? genai_matmul(b, dy, tb, 1) : genai_matmul(dy, b, 0, !tb);
    }
    if (genai__wants(y, 2)) dx[2] = genai__sum_to(dy, y->in[2]);
}
static const genai__op genai__op_matmul = {"matmul", 2, genai__matmul_shape, genai__matmul_forward, genai__matmul_backward, 0};
static genai_tensor *genai__matmul_over(genai_tensor *a, genai_tensor *b, int transpose_a, int transpose_b, genai_tensor *over) {
    genai_tensor t = genai__proto(a, b, NULL, over);
    t.i[0] = transpose_a != 0;
    t.i[1] = transpose_b != 0;
    return genai__apply(&genai__op_matmul, &t);
}
GENAI_API genai_tensor *genai_matmul(genai_tensor *a, genai_tensor *b, int transpose_a, int transpose_b) {
    return genai__matmul_over(a, b, transpose_a, transpose_b, NULL);
}

static const genai__op genai__op_dense = {"dense", 2, genai__matmul_shape, genai__matmul_forward, genai__matmul_backward, 0};
GENAI_API genai_tensor *genai_dense(genai_tensor *x, genai_tensor *w, genai_tensor *bias) {
    genai_tensor t = genai__proto(x, w, bias, NULL);
    return genai__apply(&genai__op_dense, &t);
}

/* --- convolution: three ops closed under differentiation. i: stride h, w, top, left, and the two sizes that the inputs
 * don't tell: nothing, H and W of x, or kernel height and width --- */
static genai__conv genai__conv_of(const genai_tensor *y, const genai_tensor *x, const genai_tensor *w, const genai_tensor *out) {
    genai__conv v = {x->dim[0], x->dim[1], x->dim[2], x->dim[3], out->dim[1], out->dim[2], out->dim[3], w->dim[0], w->dim[1],
                     y->i[0], y->i[1], y->i[2], y->i[3]};
    y->ctx->flops += 2.0 * (double)out->count * (double)v.kh * (double)v.kw * (double)v.c;
    return v;
}

static genai_tensor *genai__conv_apply(const genai__op *op, const int *i, genai_tensor *a, genai_tensor *b, genai_tensor *bias, int size_h, int size_w,
                                       genai_tensor *over) {
    genai_tensor t = genai__proto(a, b, bias, over);
    memcpy(t.i, i, 4 * sizeof *i);
    t.i[4] = size_h;
    t.i[5] = size_w;
    return genai__apply(op, &t);
}

/* How a size n shrinks with kernel k, stride and pad: 1 with output size and padding before, or 0. */
static int genai__conv_size(int n, int k, int stride, int pad, int *out, int *before) {
    if (pad == GENAI_SAME) {
        *out = (n - 1) / stride + 1;
        int total = (*out - 1) * stride + k - n;
        *before = total > 0 ? total / 2 : 0;
        return 1;
    }
    if (n > INT32_MAX - 2 * pad || n + 2 * pad < k) return 0;
    *out = (n + 2 * pad - k) / stride + 1;
    *before = pad;
    return 1;
}

/* The shapes of images x and weights [K,K,..] fit if x has the channels of w's dim `from`; the result's are those of w's dim `to`. */
static genai_result genai__conv_shape(genai_tensor *y, const char *form, int from, int to) {
    const genai_tensor *x = y->in[0], *w = y->in[1], *bias = y->in[2];
    const int           dim[4] = {x->dim[0], y->i[4], y->i[5], w->dim[to]};
    char                tx[64], tw[64];
    if (x->ndim != 4 || w->ndim != 4) return genai__op_fail(y, "x %s isn't [N,H,W,C] or w %s isn't %s", genai__shape_text(x, tx), genai__shape_text(w, tw), form);
    if (x->dim[3] != w->dim[from])
        return genai__op_fail(y, "x has %d channels but w wants %d (x %s, w %s)", x->dim[3], w->dim[from], genai__shape_text(x, tx), genai__shape_text(w, tw));
    if (bias && (bias->ndim != 1 || bias->dim[0] != w->dim[to])) return genai__op_fail(y, "the bias %s isn't [%d]", genai__shape_text(bias, tx), w->dim[to]);
    return genai__set_shape(y, 4, dim);
}

static genai_result genai__conv2d_shape(genai_tensor *y) { return genai__conv_shape(y, "[K,K,C,M]", 2, 3); } /* i[4], i[5]: output size */
static genai_result genai__conv2d_forward(genai_tensor *y) {
    const genai__conv v = genai__conv_of(y, y->in[0], y->in[1], y);
    return genai__conv_forward(y->ctx, &v, y->in[0]->data, y->in[1]->data, y->in[2] ? y->in[2]->data : NULL, y->data, y->in[1]->kept);
}
static void genai__conv2d_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx);
static const genai__op genai__op_conv2d = {"conv2d", 2, genai__conv2d_shape, genai__conv2d_forward, genai__conv2d_backward, 0};

static genai_result genai__conv2d_input_shape(genai_tensor *y) { return genai__conv_shape(y, "[K,K,M,C]", 3, 2); } /* in: dy, w; i[4], i[5]: H, W of x */
static genai_result genai__conv2d_input_forward(genai_tensor *y) {
    const genai__conv v = genai__conv_of(y, y, y->in[1], y->in[0]);
    return genai__conv_input(y->ctx, &v, y->in[0]->data, y->in[1]->data, y->in[2] ? y->in[2]->data : NULL, y->data, y->in[1]->kept);
}
static const genai__op genai__op_conv2d_input = {"conv2d_transpose", 2, genai__conv2d_input_shape, genai__conv2d_input_forward, genai__conv2d_backward, 0};

static genai_result genai__conv2d_weight_shape(genai_tensor *y) { /* in: x, dy; i[4], i[5]: kernel height, width */
    const int dim[4] = {y->i[4], y->i[5], y->in[0]->dim[3], y->in[1]->dim[3]};
    return genai__set_shape(y, 4, dim);
}
static genai_result genai__conv2d_weight_forward(genai_tensor *y) {
    const genai__conv v = genai__conv_of(y, y->in[0], y, y->in[1]);
    return genai__conv_weight(y->ctx, &v, y->in[0]->data, y->in[1]->data, y->data);
}
static void genai__conv2d_weight_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx);
static const genai__op genai__op_conv2d_weight = {"conv2d_weight", 2, genai__conv2d_weight_shape, genai__conv2d_weight_forward, genai__conv2d_weight_backward, 0};

/* Of conv2d and conv2d_input, each of which leads the other's gradient back. The weights' gradient comes first, so that the
 * input's may have the memory of what was needed for it. */
static void genai__conv2d_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    genai_tensor    *x = y->in[0], *w = y->in[1];
    int              narrows = y->op == &genai__op_conv2d;
    const genai__op *back = narrows ? &genai__op_conv2d_input : &genai__op_conv2d;
    if (genai__wants(y, 1))
        dx[1] = genai__conv_apply(&genai__op_conv2d_weight, y->i, narrows ? x : dy, narrows ? dy : x, NULL, w->dim[0], w->dim[1], genai__over_grad(y, 1));
    genai__spare(x);
    if (genai__wants(y, 0)) dx[0] = genai__conv_apply(back, y->i, dy, w, NULL, x->dim[1], x->dim[2], NULL);
    if (genai__wants(y, 2)) dx[2] = genai__sum_to(dy, y->in[2]);
}
static void genai__conv2d_weight_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    genai_tensor *x = y->in[0], *g = y->in[1];
    if (genai__wants(y, 0)) dx[0] = genai__conv_apply(&genai__op_conv2d_input, y->i, g, dy, NULL, x->dim[1], x->dim[2], NULL);
    if (genai__wants(y, 1)) dx[1] = genai__conv_apply(&genai__op_conv2d, y->i, x, dy, NULL, g->dim[1], g->dim[2], NULL);
}

/* desc as *d, or nothing but zeros; i: strides, and 0 as padding before. */
static genai_result genai__conv_begin(genai_ctx *ctx, const char *who, const genai_conv_desc *desc, genai_conv_desc *d, int *i) {
    const genai_conv_desc none = GENAI__ZEROED;
    *d = desc ? *desc : none;
    i[0] = d->stride_h ? d->stride_h : 1;
    i[1] = d->stride_w ? d->stride_w : 1;
    i[2] = i[3] = 0;
    if (d->stride_h >= 0 && d->stride_w >= 0 && d->pad_h >= GENAI_SAME && d->pad_w >= GENAI_SAME && d->stride_h <= 1 << 20 &&
        d->stride_w <= 1 << 20 && d->pad_h <= 1 << 20 && d->pad_w <= 1 << 20 && d->output_h >= 0 && d->output_w >= 0) return GENAI_OK;
    return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: stride %dx%d, padding %dx%d or output size %dx%d is out of range", who, d->stride_h, d->stride_w,
                       d->pad_h, d->pad_w, d->output_h, d->output_w);
}

GENAI_API genai_tensor *genai_conv2d(genai_tensor *x, genai_tensor *w, genai_tensor *bias, const genai_conv_desc *desc) {
    genai_conv_desc d;
    int             i[4], oh = 1, ow = 1;
    if (!x || !w || genai__conv_begin(x->ctx, "conv2d", desc, &d, i)) return NULL;
    if (x->ndim == 4 && w->ndim == 4 && (!genai__conv_size(x->dim[1], w->dim[0], i[0], d.pad_h, &oh, &i[2]) ||
                                         !genai__conv_size(x->dim[2], w->dim[1], i[1], d.pad_w, &ow, &i[3]))) {
        genai__fail(x->ctx, GENAI_ERROR_SHAPE, "conv2d: an image of %dx%d with padding %dx%d is smaller than the %dx%d kernel", x->dim[1], x->dim[2],
                    d.pad_h, d.pad_w, w->dim[0], w->dim[1]);
        return NULL;
    }
    return genai__conv_apply(&genai__op_conv2d, i, x, w, bias, oh, ow, NULL);
}

/* The size that a convolution with kernel k, stride and pad shrinks to n: 1 with it and the padding before, or 0. */
static int genai__conv_transpose_size(int n, int k, int stride, int pad, int wanted, int *size, int *before) {
    int64_t least = pad == GENAI_SAME ? (int64_t)n * stride : (int64_t)(n - 1) * stride + k - 2 * pad;
    int     back;
    if (wanted) least = wanted;
    if (least < 1 || least > INT32_MAX) return 0;
    *size = (int)least;
    return genai__conv_size(*size, k, stride, pad, &back, before) && back == n;
}

GENAI_API genai_tensor *genai_conv2d_transpose(genai_tensor *x, genai_tensor *w, genai_tensor *bias, const genai_conv_desc *desc) {
    genai_conv_desc d;
    int             i[4], h = 1, wide = 1;
    if (!x || !w || genai__conv_begin(x->ctx, "conv2d_transpose", desc, &d, i)) return NULL;
    if (x->ndim == 4 && w->ndim == 4 && (!genai__conv_transpose_size(x->dim[1], w->dim[0], i[0], d.pad_h, d.output_h, &h, &i[2]) ||
                                         !genai__conv_transpose_size(x->dim[2], w->dim[1], i[1], d.pad_w, d.output_w, &wide, &i[3]))) {
        genai__fail(x->ctx, GENAI_ERROR_SHAPE, "conv2d_transpose: no convolution with kernel %dx%d, stride %dx%d, padding %dx%d gives %dx%d from the output wanted",
                    w->dim[0], w->dim[1], i[0], i[1], d.pad_h, d.pad_w, x->dim[1], x->dim[2]);
        return NULL;
    }
    return genai__conv_apply(&genai__op_conv2d_input, i, x, w, bias, h, wide, NULL);
}

/* --- batch norm, and an activation after it in the same passes over memory, whose derivative can do with its value alone;
 * saved: mean, 1/sqrt(var+eps), of the batch or the running ones, and y's scale and shift from x, from which it can be made
 * again; i: mode, the activation's offset in the kernel table or 0; f: momentum, eps, the activation's parameter --- */
typedef struct genai__columns { /* a column kernel over [rows, n] in parts */
    const genai__kernels *k;
    const float          *x, *g, *a, *b, *c;
    float                *y, *z;
    size_t                rows, n, part_rows;
    int                   what; /* 0: sums, 1: squares about a, 2: affine a b, 3: products about a, 4: combine a b c */
    const genai__unary   *then; /* NULL, or a function that 2 puts each part through while it is in the cache ...    */
    const float          *dy;   /* ... and 3 puts dy back through, into g                                            */
    float                *back, p;
} genai__columns;

/* back = dy times the derivative of then(x b + c), for a part; it goes by pieces that a buffer holds, rows or parts of one. */
static void genai__columns_back(const genai__columns *j, size_t at, size_t rows) {
    float  y[4096];
    size_t width = genai__smaller(j->n, GENAI__COUNT(y)), height = GENAI__COUNT(y) / width, r, c, i, h;
    for (r = 0; r < rows; r += h)
        for (h = genai__smaller(height, rows - r), c = 0; c < j->n; c += width) {
            size_t w = genai__smaller(width, j->n - c);
            i = at + r * j->n + c;
            j->k->column_affine(h, w, j->x + i, j->b + c, j->c + c, y);
            j->then->f(h * w, y, y, j->p, 0.0f);
            j->then->d1(h * w, j->dy + i, y, y, j->back + i, j->p, 0.0f);
        }
}

static void genai__columns_task(void *arg, int index) {
    const genai__columns *j = (const genai__columns *)arg;
    size_t                from = (size_t)index * j->part_rows, rows = genai__smaller(j->part_rows, j->rows - from), at = from * j->n;
    float                *part = j->y + (size_t)index * j->n;
    if (j->what == 0) j->k->column_sums(rows, j->n, j->x + at, part);
    else if (j->what == 1) j->k->column_squares(rows, j->n, j->x + at, j->a, part);
    else if (j->what == 2) {
        j->k->column_affine(rows, j->n, j->x + at, j->a, j->b, j->y + at);
        if (j->then) j->then->f(rows * j->n, j->y + at, j->y + at, j->p, 0.0f);
    } else if (j->what == 3) {
        if (j->then) genai__columns_back(j, at, rows);
        j->k->column_products(rows, j->n, j->g + at, j->x + at, j->a, part, j->z + (size_t)index * j->n);
    }
    else j->k->column_combine(rows, j->n, j->g + at, j->x + at, j->a, j->b, j->c, j->y + at);
}

/* Runs it; the sums of the parts are added in order into y (and z). */
static genai_result genai__columns_run(genai_ctx *ctx, genai__columns *j, float *y, float *z) {
    j->k = ctx->kernels;
    j->part_rows = genai__part_rows(j->rows, j->n);
    size_t parts = (j->rows + j->part_rows - 1) / j->part_rows;
    int    sums = j->what != 2 && j->what != 4;
    j->y = sums ? genai__take(ctx, 2 * parts * j->n * sizeof(float)) : y;
    if (!j->y) return GENAI_ERROR_MEMORY;
    if (sums) j->z = j->y + parts * j->n;
    genai__parallel(ctx, (int)parts, genai__columns_task, j);
    if (!sums) return GENAI_OK;
    memcpy(y, j->y, j->n * sizeof(float));
    if (z) memcpy(z, j->z, j->n * sizeof(float));
    for (size_t p = 1; p < parts; p++) {
        ctx->kernels->add_to(j->n, y, j->y + p * j->n);
        if (z) ctx->kernels->add_to(j->n, z, j->z + p * j->n);
    }
    genai__give(ctx, j->y);
    return GENAI_OK;
}

static genai_result genai__batch_norm_shape(genai_tensor *y) {
    const genai_tensor *x = y->in[0];
    const genai_tensor *v[4] = {y->in[1], y->in[2], y->aux[0], y->aux[1]};
    int                 i, c = x->ndim ? x->dim[x->ndim - 1] : 0;
    char                shape[64];
    for (i = 0; i < 4; i++)
        if (v[i]->ndim != 1 || v[i]->dim[0] != c) return genai__op_fail(y, "gamma, beta, mean and var must be [%d], one is %s", c, genai__shape_text(v[i], shape));
    if (y->i[0] != GENAI_EVAL && x->count / (size_t)c < 2)
        return genai__op_fail(y, "training needs more than one value a channel (x %s): use a larger batch", genai__shape_text(x, shape));
    return genai__shape_of_first(y);
}

/* Fills y->saved. */
static genai_result genai__batch_norm_statistics(genai_tensor *y, genai__columns *j) {
    size_t n = j->n, c;
    float *mean = (float *)genai__arena(y->ctx, 4 * n * sizeof(float)), *rstd = mean + n, *scale = mean + 2 * n, *shift = mean + 3 * n;
    float  momentum = y->f[0], eps = y->f[1];
    if (!mean) return GENAI_ERROR_MEMORY;
    y->saved = mean;
    y->ctx->changes += y->i[0] == GENAI_TRAIN;
    if (y->i[0] == GENAI_EVAL) {
        memcpy(mean, y->aux[0]->data, n * sizeof(float));
        memcpy(scale, y->aux[1]->data, n * sizeof(float));
    } else { /* two passes: raw E[x^2] - E[x]^2 cancels */
        if (genai__columns_run(y->ctx, j, mean, NULL)) return GENAI_ERROR_MEMORY;
        for (c = 0; c < n; c++) mean[c] = mean[c] / (float)j->rows;
        j->what = 1;
        j->a = mean;
        if (genai__columns_run(y->ctx, j, scale, NULL)) return GENAI_ERROR_MEMORY;
        for (c = 0; c < n; c++) {
            if (y->i[0] == GENAI_TRAIN) {
                float unbiased = scale[c] / (float)(j->rows - 1);
                y->aux[0]->data[c] = momentum * y->aux[0]->data[c] + (1.0f - momentum) * mean[c];
                y->aux[1]->data[c] = momentum * y->aux[1]->data[c] + (1.0f - momentum) * unbiased;
            }
            scale[c] = scale[c] / (float)j->rows;
        }
    }
    for (c = 0; c < n; c++) {
        rstd[c] = 1.0f / sqrtf(scale[c] + eps);
        scale[c] = y->in[1]->data[c] * rstd[c];
        shift[c] = y->in[2]->data[c] - mean[c] * scale[c];
    }
    return GENAI_OK;
}

static genai_result genai__batch_norm_forward(genai_tensor *y) {
    const genai_tensor *x = y->in[0];
    genai__columns      j = GENAI__ZEROED;
    j.x = x->data;
    j.n = (size_t)x->dim[x->ndim - 1];
    j.rows = x->count / j.n;
    if (!y->saved && genai__batch_norm_statistics(y, &j)) return GENAI_ERROR_MEMORY;
    j.what = 2;
    j.a = (const float *)y->saved + 2 * j.n;
    j.b = (const float *)y->saved + 3 * j.n;
    j.then = y->i[1] ? genai__unary_at_offset(y, y->i[1]) : NULL;
    j.p = y->f[2];
    return genai__columns_run(y->ctx, &j, y->data, NULL);
}

static void genai__batch_norm_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    genai_ctx     *ctx = y->ctx;
    genai_tensor  *x = y->in[0], *dgamma, *dbeta, *d;
    size_t         n = (size_t)x->dim[x->ndim - 1], rows = x->count / n, c;
    const float   *mean = (const float *)y->saved, *rstd = mean + n;
    genai__columns j = GENAI__ZEROED;
    if (ctx->recording) return; /* refused: genai__differentiate says so */
    dgamma = genai_tensor_of(ctx, 1, y->in[1]->dim, NULL);
    dbeta = genai_tensor_of(ctx, 1, y->in[1]->dim, NULL);
    float *coefficient = (float *)genai__arena(ctx, 3 * n * sizeof(float));
    d = genai__temporary(ctx, x->ndim, x->dim, genai__spent(dy) ? dy : NULL);
    if (!dgamma || !dbeta || !coefficient || !d) return;
    uint64_t mode = genai__fp_enter();
    genai__trace(ctx, "batch_norm", 1, 0, 0);
    j.x = x->data;
    j.then = y->i[1] ? genai__unary_at_offset(y, y->i[1]) : NULL;
    j.p = y->f[2];
    j.b = mean + 2 * n;
    j.c = mean + 3 * n;
    j.dy = dy->data;
    j.back = d->data;
    j.g = j.then ? d->data : dy->data;
    j.rows = rows;
    j.n = n;
    j.a = mean;
    j.what = 3;
    if (!genai__columns_run(ctx, &j, dbeta->data, dgamma->data)) {
        for (c = 0; c < n; c++) dgamma->data[c] = dgamma->data[c] * rstd[c];
        dx[1] = dgamma;
        dx[2] = dbeta;
    }
    if (genai__wants(y, 0) && dx[1]) {
        for (c = 0; c < n; c++) { /* dx = gamma rstd (dy - mean dy - xhat mean(dy xhat)) = a dy + b x + c */
            float a = y->in[1]->data[c] * rstd[c];
            coefficient[c] = a;
            if (y->i[0] == GENAI_EVAL) coefficient[n + c] = coefficient[2 * n + c] = 0.0f;
            else {
                float b = -a * rstd[c] * dgamma->data[c] / (float)rows;
                coefficient[n + c] = b;
                coefficient[2 * n + c] = -a * dbeta->data[c] / (float)rows - b * mean[c];
            }
        }
        j.what = 4;
        j.a = coefficient;
        j.b = coefficient + n;
        j.c = coefficient + 2 * n;
        genai__columns_run(ctx, &j, d->data, NULL);
        dx[0] = d;
    }
    genai__trace(ctx, "batch_norm", 1, 1, 3.0 * (double)x->count * sizeof(float));
    genai__fp_leave(mode);
}
static const genai__op genai__op_batch_norm = {"batch_norm", 3, genai__batch_norm_shape, genai__batch_norm_forward, genai__batch_norm_backward, 0};
static genai_tensor *genai__batch_norm(genai_tensor *x, genai_tensor *const *scale, genai_tensor *const *running, genai_mode mode, float momentum,
                                       float eps, size_t activation, float p) {
    genai_tensor t = genai__proto(x, scale[0], scale[1], NULL);
    if (!running[0] || !running[1]) return NULL;
    t.aux[0] = running[0];
    t.aux[1] = running[1];
    t.i[0] = (int)mode;
    t.i[1] = (int)activation;
    t.f[0] = momentum;
    t.f[1] = eps;
    t.f[2] = p;
    return genai__apply(&genai__op_batch_norm, &t);
}
GENAI_API genai_tensor *genai_batch_norm(genai_tensor *x, genai_tensor *gamma, genai_tensor *beta, genai_tensor *mean, genai_tensor *var,
                                         genai_mode mode, float momentum, float eps) {
    genai_tensor *scale[2] = {gamma, beta}, *running[2] = {mean, var};
    return genai__batch_norm(x, scale, running, mode, momentum, eps, 0, 0.0f);
}

/* --- layer, instance, group norm: compositions, so differentiable as often as you like --- */
static genai_tensor *genai__normalise(genai_tensor *x, unsigned axes, float eps) {
    genai_tensor *d = genai_sub(x, genai_mean(x, axes));
    return genai_div(d, genai_sqrt(genai_scale(genai_mean(genai_square(d), axes), 1.0f, eps)));
}
GENAI_API genai_tensor *genai_group_norm(genai_tensor *x, genai_tensor *gamma, genai_tensor *beta, int groups, float eps) {
    int  dim[4] = {0, -1, groups, 0}, c = x && x->ndim ? x->dim[x->ndim - 1] : 0;
    char shape[64];
    if (!x || !gamma || !beta) return NULL;
    if (x->ndim < 2 || groups < 1 || c % groups)
        return genai__fail(x->ctx, GENAI_ERROR_SHAPE, "group_norm: the channels of %s can't be cut into %d groups", genai__shape_text(x, shape), groups),
               GENAI__NULL;
    dim[0] = x->dim[0];
    dim[3] = c / groups;
    genai_tensor *y = genai__normalise(genai_reshape(x, 4, dim), 1u << 1 | 1u << 3, eps);
    y = y ? genai_reshape(y, x->ndim, x->dim) : NULL;
    return genai_add(genai_mul(y, gamma), beta);
}
GENAI_API genai_tensor *genai_layer_norm(genai_tensor *x, genai_tensor *gamma, genai_tensor *beta, float eps) { return genai_group_norm(x, gamma, beta, 1, eps); }
GENAI_API genai_tensor *genai_instance_norm(genai_tensor *x, genai_tensor *gamma, genai_tensor *beta, float eps) {
    return x && x->ndim ? genai_group_norm(x, gamma, beta, x->dim[x->ndim - 1], eps) : NULL;
}

/* --- random tensors, dropout --- */
static genai_tensor *genai__random_tensor(genai_ctx *ctx, int ndim, const int *dim, int normal) {
    genai_tensor *t = genai_tensor_of(ctx, ndim, dim, NULL);
    if (t) genai__random_fill(ctx, normal, ctx->desc.seed, ctx->stream, ctx->step, ctx->draw++, t->count, t->data);
    return t;
}
GENAI_API genai_tensor *genai_random_normal(genai_ctx *ctx, int ndim, const int *dim) { return genai__random_tensor(ctx, ndim, dim, 1); }
GENAI_API genai_tensor *genai_random_uniform(genai_ctx *ctx, int ndim, const int *dim) { return genai__random_tensor(ctx, ndim, dim, 0); }

/* What is dropped becomes -0 and what is kept never is: y is its own mask, and y may lie over x. i: draw, stream and step of
 * the random numbers; f: dropped up to, 1/(1-p) */
static void genai__dropout_chunk(void *arg, size_t from, size_t n) {
    const genai_tensor *y = (const genai_tensor *)arg;
    genai__random       r = {y->ctx, (uint32_t)y->i[1], (uint32_t)y->i[0], y->ctx->desc.seed, 0, NULL, 0};
    float               u[512];
    size_t              i, j, count;
    memcpy(&r.step, y->i + 2, sizeof r.step);
    for (i = from; i < from + n; i += count) { /* from is a multiple of 512 */
        count = genai__smaller(512, from + n - i);
        for (j = 0; j < count; j += GENAI__RANDOM) genai__random_block(&r, (i + j) / GENAI__RANDOM, u + j);
        y->ctx->kernels->dropout(count, u, y->in[0]->data + i, y->data + i, y->f[0], y->f[1]);
    }
}
static genai_result genai__dropout_forward(genai_tensor *y) { return genai__for_chunks(y->ctx, y->count, genai__dropout_chunk, y); }
static void genai__dropout_d1_chunk(void *arg, size_t from, size_t n) { /* in: dy; aux: what dropout gave */
    const genai_tensor *d = (const genai_tensor *)arg;
    d->ctx->kernels->dropout_d1(n, d->in[0]->data + from, d->aux[0]->data + from, d->data + from, d->f[1]);
}
static genai_result genai__dropout_d1_forward(genai_tensor *d) { return genai__for_chunks(d->ctx, d->count, genai__dropout_d1_chunk, d); }
static genai_tensor *genai__dropout_d1(const genai_tensor *from, genai_tensor *dy, genai_tensor *y);
static void genai__dropout_d1_backward(genai_tensor *d, genai_tensor *dd, genai_tensor **dx) { dx[0] = genai__dropout_d1(d, dd, d->aux[0]); }
static const genai__op genai__op_dropout_d1 = {"dropout", 1, genai__shape_of_first, genai__dropout_d1_forward, genai__dropout_d1_backward, 0};
static genai_tensor *genai__dropout_d1(const genai_tensor *from, genai_tensor *dy, genai_tensor *y) {
    genai_tensor t = genai__proto(dy, NULL, NULL, genai__spent(dy) ? dy : NULL);
    t.aux[0] = y;
    memcpy(t.f, from->f, sizeof t.f);
    return genai__apply(&genai__op_dropout_d1, &t);
}
static void genai__dropout_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) { dx[0] = genai__dropout_d1(y, dy, y); }
static const genai__op genai__op_dropout = {"dropout", 1, genai__shape_of_first, genai__dropout_forward, genai__dropout_backward, 0};

static genai_tensor *genai__dropout(genai_tensor *x, float p, genai_tensor *over) {
    genai_tensor t = genai__proto(x, NULL, NULL, over);
    if (!x) return NULL;
    if (!(p >= 0.0f && p < 1.0f))
        return genai__fail(x->ctx, GENAI_ERROR_ARGUMENT, "dropout: a probability in [0,1) is wanted, not %g", (double)p), GENAI__NULL;
    t.i[0] = (int)x->ctx->draw++;
    t.i[1] = (int)x->ctx->stream;
    memcpy(t.i + 2, &x->ctx->step, sizeof x->ctx->step);
    t.f[0] = p - 1.0f / 16777216.0f; /* u >= p rounded down to 2^-24 */
    t.f[1] = genai__inverse(1.0f - p);
    return genai__apply(&genai__op_dropout, &t);
}
GENAI_API genai_tensor *genai_dropout(genai_tensor *x, float p) { return genai__dropout(x, p, NULL); }

static genai_result genai__check_image(const genai_tensor *y) {
    char shape[64];
    return y->in[0]->ndim == 4 ? GENAI_OK : genai__op_fail(y, "x %s isn't [N,H,W,C]", genai__shape_text(y->in[0], shape));
}

/* f(y, row) for all rows of images x. */
static genai_result genai__for_image_rows(genai_tensor *y, const genai_tensor *x, void (*f)(void *arg, size_t row)) {
    size_t rows = (size_t)x->dim[0] * (size_t)x->dim[1];
    return genai__for_rows(y->ctx, rows, y->count / rows, f, y);
}

/* --- shift: every image moved by a whole number of pixels of its own, then a rectangle cut out of it; f: what stands where nothing
 * is left. saved: six numbers an image: down, right; the rectangle's top, left, and bottom and right, which are outside it --- */
static genai_result genai__shift_shape(genai_tensor *y) { return genai__check_image(y) ? GENAI_ERROR_SHAPE : genai__shape_of_first(y); }
static void genai__shift_row(void *arg, size_t row) {
    const genai_tensor *y = (const genai_tensor *)arg;
    int                 h = y->dim[1], w = y->dim[2], down = (int)(row % (size_t)h), right;
    const int          *p = (const int *)y->saved + row / (size_t)h * 6;
    size_t              c = (size_t)y->dim[3], i;
    float              *to = y->data + row * (size_t)w * c;
    const float        *from = y->in[0]->data + row / (size_t)h * (size_t)h * (size_t)w * c;
    for (right = 0; right < w; right++, to += c) {
        int fy = down - p[0], fx = right - p[1], cut = down >= p[2] && down < p[4] && right >= p[3] && right < p[5];
        if (fy >= 0 && fy < h && fx >= 0 && fx < w && !cut) memcpy(to, from + ((size_t)fy * (size_t)w + (size_t)fx) * c, c * sizeof *to);
        else for (i = 0; i < c; i++) to[i] = y->f[0];
    }
}
static genai_result genai__shift_forward(genai_tensor *y) { return genai__for_image_rows(y, y, genai__shift_row); }
static genai_tensor *genai__shift(genai_tensor *x, const int *places, float fill, int back);
/* It is its own adjoint, moved back with its rectangle, and with 0 for what comes from outside. */
static void genai__shift_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) { dx[0] = genai__shift(dy, (const int *)y->saved, 0, 1); }
static const genai__op genai__op_shift = {"shift", 1, genai__shift_shape, genai__shift_forward, genai__shift_backward, 0};
static genai_tensor *genai__shift(genai_tensor *x, const int *places, float fill, int back) {
    genai_tensor t = genai__proto(x, NULL, NULL, NULL);
    int         *p, i, n = x ? 6 * x->dim[0] : 0;
    t.f[0] = fill;
    t.saved = p = x ? (int *)genai__arena(x->ctx, (size_t)n * sizeof *p) : NULL;
    if (!p) return NULL;
    for (i = 0; i < n; i++) p[i] = !back ? places[i] : i % 6 < 2 ? -places[i] : places[i] - places[i - i % 6 + i % 2];
    return genai__apply(&genai__op_shift, &t);
}

/* --- pooling and upsampling on [N,H,W,C]; i: window, stride --- */
static genai_result genai__image_shape(genai_tensor *y, int h, int w) { /* that of the first input, but for height and width */
    const int dim[4] = {y->in[0]->dim[0], h, w, y->in[0]->dim[3]};
    return genai__set_shape(y, 4, dim);
}
static genai_result genai__upsample_shape(genai_tensor *y) {
    const int *dim = y->in[0]->dim;
    if (genai__check_image(y)) return GENAI_ERROR_SHAPE;
    if (y->i[0] < 1 || dim[1] > 1 << 20 || dim[2] > 1 << 20 || y->i[0] > 1 << 10) return genai__op_fail(y, "a factor of %d is out of range", y->i[0]);
    return genai__image_shape(y, dim[1] * y->i[0], dim[2] * y->i[0]);
}
static void genai__upsample_row(void *arg, size_t index) { /* one source row of one image */
    const genai_tensor *y = (const genai_tensor *)arg;
    size_t              c = (size_t)y->dim[3], w = (size_t)y->in[0]->dim[2], f = (size_t)y->i[0], x, i;
    const float        *from = y->in[0]->data + index * w * c;
    float              *to = y->data + index * f * w * f * c;
    for (x = 0; x < w; x++)
        for (i = 0; i < f; i++) memcpy(to + (x * f + i) * c, from + x * c, c * sizeof *to);
    for (i = 1; i < f; i++) memcpy(to + i * w * f * c, to, w * f * c * sizeof *to);
}
static genai_result genai__upsample_forward(genai_tensor *y) { return genai__for_image_rows(y, y->in[0], genai__upsample_row); }
static void genai__upsample_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    float f = (float)y->i[0];
    dx[0] = genai_scale(genai_average_pool(dy, y->i[0], y->i[0]), f * f, 0.0f);
}
static const genai__op genai__op_upsample = {"upsample", 1, genai__upsample_shape, genai__upsample_forward, genai__upsample_backward, 0};

static genai_result genai__pool_shape(genai_tensor *y) {
    const int *dim = y->in[0]->dim;
    if (genai__check_image(y)) return GENAI_ERROR_SHAPE;
    if (y->i[0] < 1 || y->i[1] < 1 || y->i[0] > dim[1] || y->i[0] > dim[2])
        return genai__op_fail(y, "a window of %d with stride %d doesn't fit into %dx%d", y->i[0], y->i[1], dim[1], dim[2]);
    return genai__image_shape(y, (dim[1] - y->i[0]) / y->i[1] + 1, (dim[2] - y->i[0]) / y->i[1] + 1);
}
/* the adjoint of average_pool: each value spread evenly over its window; i: window, stride, H, W */
static genai_result genai__spread_shape(genai_tensor *y) { return genai__image_shape(y, y->i[2], y->i[3]); }
static void genai__spread_image(void *arg, size_t index) {
    const genai_tensor *x = (const genai_tensor *)arg;
    const genai_tensor *y = x->in[0];
    size_t              c = (size_t)x->dim[3], h = (size_t)x->dim[1], w = (size_t)x->dim[2], k = (size_t)x->i[0], s = (size_t)x->i[1], oy, ox, i, j, l;
    float               scale = 1.0f / (float)(k * k), *to = x->data + index * h * w * c;
    const float        *from = y->data + index * (size_t)y->dim[1] * (size_t)y->dim[2] * c;
    for (i = 0; i < h * w * c; i++) to[i] = 0.0f;
    for (oy = 0; oy < (size_t)y->dim[1]; oy++)
        for (ox = 0; ox < (size_t)y->dim[2]; ox++, from += c)
            for (i = 0; i < k; i++)
                for (j = 0; j < k; j++)
                    for (l = 0; l < c; l++) to[((oy * s + i) * w + ox * s + j) * c + l] += from[l] * scale;
}
static genai_result genai__spread_forward(genai_tensor *x) {
    return genai__for_rows(x->ctx, (size_t)x->dim[0], x->count / (size_t)x->dim[0], genai__spread_image, x);
}
static void genai__spread_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) { dx[0] = genai_average_pool(dy, y->i[0], y->i[1]); }
static const genai__op genai__op_spread = {"spread", 1, genai__spread_shape, genai__spread_forward, genai__spread_backward, 0};
static genai_tensor *genai__spread(genai_tensor *dy, const genai_tensor *y) {
    genai_tensor t = genai__proto(dy, NULL, NULL, NULL);
    t.i[0] = y->i[0];
    t.i[1] = y->i[1];
    t.i[2] = y->in[0]->dim[1];
    t.i[3] = y->in[0]->dim[2];
    return genai__apply(&genai__op_spread, &t);
}

static void genai__average_pool_row(void *arg, size_t index) { /* one output row */
    const genai_tensor *y = (const genai_tensor *)arg;
    const genai_tensor *x = y->in[0];
    size_t              c = (size_t)y->dim[3], k = (size_t)y->i[0], s = (size_t)y->i[1], ow = (size_t)y->dim[2], w = (size_t)x->dim[2], ox, i, j, l;
    size_t              image = index / (size_t)y->dim[1], row = index % (size_t)y->dim[1];
    float               scale = 1.0f / (float)(k * k);
    for (ox = 0; ox < ow; ox++) {
        float *to = y->data + (index * ow + ox) * c;
        for (l = 0; l < c; l++) to[l] = 0.0f;
        for (i = 0; i < k; i++)
            for (j = 0; j < k; j++) {
                const float *from = x->data + ((image * (size_t)x->dim[1] + row * s + i) * w + ox * s + j) * c;
                for (l = 0; l < c; l++) to[l] += from[l];
            }
        for (l = 0; l < c; l++) to[l] *= scale;
    }
}
static genai_result genai__average_pool_forward(genai_tensor *y) { return genai__for_image_rows(y, y, genai__average_pool_row); }
static void genai__average_pool_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) { dx[0] = genai__spread(dy, y); }
static const genai__op genai__op_average_pool = {"average_pool", 1, genai__pool_shape, genai__average_pool_forward, genai__average_pool_backward, 0};

/* max_pool: the index of a window's first largest value in its image; backward looks for it again */
static size_t genai__max_pool_best(const genai_tensor *y, const float *image, size_t oy, size_t ox, size_t l) {
    size_t c = (size_t)y->dim[3], w = (size_t)y->in[0]->dim[2], k = (size_t)y->i[0], s = (size_t)y->i[1], best = (oy * s * w + ox * s) * c + l, i, j;
    for (i = 0; i < k; i++)
        for (j = 0; j < k; j++) {
            size_t at = ((oy * s + i) * w + ox * s + j) * c + l;
            if (image[at] > image[best]) best = at;
        }
    return best;
}
typedef struct genai__max_pool_job { /* from y's input to y, or from dy to dx */
    const genai_tensor *y, *dy;
    genai_tensor       *dx;
} genai__max_pool_job;
static void genai__max_pool_image(void *arg, size_t index) {
    const genai__max_pool_job *p = (const genai__max_pool_job *)arg;
    const genai_tensor        *y = p->y, *x = y->in[0];
    size_t                     c = (size_t)y->dim[3], size = x->count / (size_t)x->dim[0], o = index * (y->count / (size_t)y->dim[0]), oy, ox, l;
    const float               *image = x->data + index * size;
    for (oy = 0; oy < (size_t)y->dim[1]; oy++)
        for (ox = 0; ox < (size_t)y->dim[2]; ox++)
            for (l = 0; l < c; l++, o++) {
                size_t best = genai__max_pool_best(y, image, oy, ox, l);
                if (p->dx) p->dx->data[index * size + best] += p->dy->data[o];
                else y->data[o] = image[best];
            }
}
static genai_result genai__max_pool_run(const genai_tensor *y, const genai_tensor *dy, genai_tensor *dx) {
    genai__max_pool_job p = {y, dy, dx};
    return genai__for_rows(y->ctx, (size_t)y->dim[0], y->count / (size_t)y->dim[0], genai__max_pool_image, &p);
}
static genai_result genai__max_pool_forward(genai_tensor *y) { return genai__max_pool_run(y, NULL, NULL); }
static void genai__max_pool_backward(genai_tensor *y, genai_tensor *dy, genai_tensor **dx) {
    if (y->ctx->recording) return; /* refused: genai__differentiate says so */
    dx[0] = genai_tensor_of(y->ctx, 4, y->in[0]->dim, NULL);
    if (dx[0]) genai__max_pool_run(y, dy, dx[0]);
}
static const genai__op genai__op_max_pool = {"max_pool", 1, genai__pool_shape, genai__max_pool_forward, genai__max_pool_backward, 0};

GENAI_API genai_tensor *genai_upsample(genai_tensor *x, int factor) { return genai__apply_to(&genai__op_upsample, x, NULL, factor, 0, 0); }
GENAI_API genai_tensor *genai_average_pool(genai_tensor *x, int k, int stride) { return genai__apply_to(&genai__op_average_pool, x, NULL, k, stride, 0); }
GENAI_API genai_tensor *genai_max_pool(genai_tensor *x, int k, int stride) { return genai__apply_to(&genai__op_max_pool, x, NULL, k, stride, 0); }

/* --- softmax, log-softmax over the last dim, shifted by the largest value --- */
static genai_tensor *genai__shift_by_maximum(genai_tensor *x) {
    int dim[4];
    if (!x) return NULL;
    if (!x->ndim) return genai__fail(x->ctx, GENAI_ERROR_SHAPE, "softmax: x is a scalar, but has to have a last dim"), GENAI__NULL;
    memcpy(dim, x->dim, sizeof dim);
    size_t n = (size_t)dim[x->ndim - 1];
    dim[x->ndim - 1] = 1;
    genai_tensor *m = genai_tensor_of(x->ctx, x->ndim, dim, NULL);
    for (size_t r = 0; m && r < m->count; r++) m->data[r] = x->ctx->kernels->maximum(n, x->data + r * n);
    return genai_sub(x, m);
}
GENAI_API genai_tensor *genai_softmax(genai_tensor *x) {
    genai_tensor *e = genai_exp(genai__shift_by_maximum(x));
    return e ? genai_div(e, genai_sum(e, 1u << (e->ndim - 1))) : NULL;
}
GENAI_API genai_tensor *genai_log_softmax(genai_tensor *x) {
    genai_tensor *s = genai__shift_by_maximum(x);
    return s ? genai_sub(s, genai_log(genai_sum(genai_exp(s), 1u << (s->ndim - 1)))) : NULL;
}

/* --- losses --- */
/* The value of a loss, whose ops are traced inside a piece of its name; x is one of its inputs. */
#define GENAI__LOSS(x, name, value) ((x) ? genai__trace((x)->ctx, name, 0, 0, 0) : (void)0, genai__loss_end(x, name, value))
static genai_tensor *genai__loss_end(genai_tensor *x, const char *name, genai_tensor *value) {
    if (x) genai__trace(x->ctx, name, 0, 1, 0);
    return value;
}
/* Sum of all, over N; x is seen nowhere else, and made by an op whose gradient does without its value. */
static genai_tensor *genai__mean_of_sums(genai_tensor *x) {
    genai_tensor *sum = x ? genai_sum(x, 0) : NULL;
    if (x) genai__drop(x);
    return sum ? genai_scale(sum, genai__inverse((float)x->dim[0]), 0.0f) : NULL;
}
static int genai__loss_shapes(const char *name, const genai_tensor *a, const genai_tensor *b) {
    char ta[64], tb[64];
    if (!a || !b) return 0;
    if (genai__same_shape(a, b)) return 1;
    genai__fail(a->ctx, GENAI_ERROR_SHAPE, "%s: shapes %s and %s differ", name, genai__shape_text(a, ta), genai__shape_text(b, tb));
    return 0;
}
GENAI_API genai_tensor *genai_mse_loss(genai_tensor *y, genai_tensor *target) {
    return genai__loss_shapes("mse_loss", y, target) ? GENAI__LOSS(y, "mse_loss", genai__mean_of_sums(genai_square(genai_sub(y, target)))) : NULL;
}
GENAI_API genai_tensor *genai_l1_loss(genai_tensor *y, genai_tensor *target) {
    return genai__loss_shapes("l1_loss", y, target) ? GENAI__LOSS(y, "l1_loss", genai__mean_of_sums(genai_abs(genai_sub(y, target)))) : NULL;
}
GENAI_API genai_tensor *genai_bce_loss(genai_tensor *logits, genai_tensor *target, float value) {
    if (target && !genai__loss_shapes("bce_loss", logits, target)) return NULL;
    return GENAI__LOSS(logits, "bce_loss",
                       genai__mean_of_sums(genai_sub(genai_softplus(logits), target ? genai_mul(logits, target) : genai_scale(logits, value, 0.0f))));
}
/* n labels as rows [n,classes] of zeros with a 1; NULL with the error set. */
static genai_tensor *genai__one_hot(genai_ctx *ctx, const char *who, const int *labels, int n, int classes) {
    int           i, dim[2] = {n, classes};
    genai_tensor *hot = genai_tensor_of(ctx, 2, dim, NULL);
    for (i = 0; hot && i < n; i++) {
        if (labels[i] < 0 || labels[i] >= classes)
            return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: label %d of image %d isn't in 0..%d", who, labels[i], i, classes - 1), GENAI__NULL;
        hot->data[(size_t)i * (size_t)classes + (size_t)labels[i]] = 1.0f;
    }
    return hot;
}
GENAI_API genai_tensor *genai_cross_entropy_loss(genai_tensor *logits, const int *labels) {
    char shape[64];
    if (!logits || !labels) return NULL;
    if (logits->ndim != 2)
        return genai__fail(logits->ctx, GENAI_ERROR_SHAPE, "cross_entropy_loss: logits %s aren't [N,D]", genai__shape_text(logits, shape)), GENAI__NULL;
    genai_tensor *hot = genai__one_hot(logits->ctx, "cross_entropy_loss", labels, logits->dim[0], logits->dim[1]);
    return hot ? GENAI__LOSS(logits, "cross_entropy_loss", genai_neg(genai__mean_of_sums(genai_mul(genai_log_softmax(logits), hot)))) : NULL;
}
GENAI_API genai_tensor *genai_gaussian_nll_loss(genai_tensor *mean, genai_tensor *log_var, genai_tensor *target) {
    genai_tensor *e;
    if (!genai__loss_shapes("gaussian_nll_loss", mean, target) || !genai__loss_shapes("gaussian_nll_loss", mean, log_var)) return NULL;
    return GENAI__LOSS(mean, "gaussian_nll_loss",
                       (e = genai_mul(genai_square(genai_sub(target, mean)), genai_exp(genai_neg(log_var))),
                        genai_scale(genai__mean_of_sums(genai_scale(genai_add(log_var, e), 1.0f, 1.8378770664093453f)), 0.5f, 0.0f)));
}
GENAI_API genai_tensor *genai_kl_loss(genai_tensor *mean, genai_tensor *log_var) {
    if (!genai__loss_shapes("kl_loss", mean, log_var)) return NULL;
    return GENAI__LOSS(mean, "kl_loss", genai_scale(genai__mean_of_sums(genai_sub(genai_add(genai_exp(log_var), genai_square(mean)),
                                                                                  genai_scale(log_var, 1.0f, 1.0f))), 0.5f, 0.0f));
}
GENAI_API genai_tensor *genai_hinge_loss(genai_tensor *logits, float sign) {
    return GENAI__LOSS(logits, "hinge_loss", genai_mean(genai_relu(genai_scale(logits, -sign, 1.0f)), 0));
}

/* ====================================================================================================================
 * >>optim (private)
 * Update rules over groups; a group is one contiguous block of parameters with one of gradients and up to two of state
 * (first and second moment), so that an update is one pass of one kernel. What depends on the step number t is computed
 * here in double with + - * / only, from t alone: a resumed optimiser needs t and the moments, nothing else.
 * ================================================================================================================= */
static const char *const genai__rule_words[] = {"default", "adam", "adamw", "sgd", "rmsprop", NULL};

typedef struct genai__group {
    float        *value, *gradient; /* gradient NULL: that of tensor[0], which may come and go                       */
    size_t        n;
    genai_tensor *tensor;           /* what lies in the block, for messages                                          */
    int           tensors;
    float         lr_scale;
    int           rests, bare;      /* 1: not updated for now; without weight decay                                  */
    float        *m, *v;            /* NULL where the rule needs none                                                */
} genai__group;

struct genai_optimizer {
    genai_ctx           *ctx;
    genai_optimizer_desc desc; /* resolved */
    genai__group        *group;
    int                  groups;
    uint64_t             t;    /* updates done */
    float                norm;
    float               *partial; /* one sum of squares for each chunk of the largest group */
    size_t               partials;
};

static double genai__power(double base, uint64_t n) {
    double result = 1;
    for (; n; n >>= 1, base *= base)
        if (n & 1) result *= base;
    return result;
}

/* cos(pi x) for x in [0,1], as sin(pi (1/2 - x)) by its Taylor series: |argument| <= pi/2, so the 12th term is below 1e-17. */
static double genai__cos_pi(double x) {
    double y = 3.14159265358979323846 * (0.5 - x), term = y, sum = y;
    for (int i = 1; i < 12; i++) {
        term = -term * y * y / (double)(2 * i * (2 * i + 1));
        sum += term;
    }
    return sum;
}

static double genai__schedule(const genai_optimizer_desc *d, uint64_t t) {
    double   x, final = (double)d->final;
    uint64_t steps = (uint64_t)d->steps;
    if (t < (uint64_t)d->warmup) return (double)(t + 1) / (double)d->warmup;
    t -= (uint64_t)d->warmup;
    if (!steps) return 1;
    x = t < steps ? (double)t / (double)steps : 1;
    switch (d->schedule) {
        case GENAI_SCHEDULE_LINEAR: return 1 + (final - 1) * x;
        case GENAI_SCHEDULE_COSINE: return final + (1 - final) * 0.5 * (1 + genai__cos_pi(x)); /* Loshchilov and Hutter 2017, eq. 5 */
        case GENAI_SCHEDULE_EXPONENTIAL: return genai__power(final, t / steps);
        case GENAI_SCHEDULE_INVERSE: return (double)steps / (double)(steps + t);
        default: return 1; /* constant */
    }
}

static int genai__in_range(float x, float low, float high) { return genai__finite(x) && x >= low && x <= high; }

static genai_result genai__optimizer_resolve(genai_ctx *ctx, genai_optimizer_desc *d) {
    const char *what = NULL;
    float       below_1 = 0.9999999f;
    if ((int)d->rule < 0 || d->rule > GENAI_RULE_RMSPROP)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "optimizer: there is no rule number %d", (int)d->rule);
    if ((int)d->schedule < 0 || d->schedule > GENAI_SCHEDULE_INVERSE)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "optimizer: there is no schedule number %d", (int)d->schedule);
    if (!d->rule) d->rule = GENAI_RULE_ADAM;
    if (d->lr == 0) d->lr = d->rule == GENAI_RULE_SGD ? 0.01f : 0.001f;
    if (d->beta1 == 0) d->beta1 = 0.9f;
    if (d->beta2 == 0) d->beta2 = d->rule == GENAI_RULE_RMSPROP ? 0.99f : 0.999f;
    if (d->eps == 0) d->eps = 1e-8f;
    if (d->final == 0 && d->schedule == GENAI_SCHEDULE_EXPONENTIAL) d->final = 0.5f;
    if (!genai__in_range(d->lr, 1e-30f, 1e6f)) what = "lr must be above 0 and at most 1e6";
    else if (!genai__in_range(d->beta1, 0, below_1) && d->beta1 != GENAI_ZERO) what = "beta1 must be at least 0 and below 1";
    else if (!genai__in_range(d->beta2, 0, below_1) && d->beta2 != GENAI_ZERO) what = "beta2 must be at least 0 and below 1";
    else if (!genai__in_range(d->eps, 1e-30f, 1e6f)) what = "eps must be above 0 and at most 1e6";
    else if (!genai__in_range(d->momentum, 0, below_1)) what = "momentum must be at least 0 and below 1";
    else if (d->nesterov && (d->rule != GENAI_RULE_SGD || d->momentum == 0)) what = "nesterov goes with SGD and a momentum above 0";
    else if (!genai__in_range(d->weight_decay, 0, 1e6f)) what = "weight_decay must not be negative";
    else if (!genai__in_range(d->clip_norm, 0, 1e30f)) what = "clip_norm must not be negative";
    else if (!genai__in_range(d->clip_value, 0, 1e30f)) what = "clip_value must not be negative";
    else if (d->warmup < 0) what = "warmup must not be negative";
    else if (d->steps < 0) what = "steps must not be negative";
    else if (!genai__in_range(d->final, 0, 1e6f)) what = "final must not be negative";
    return what ? genai__fail(ctx, GENAI_ERROR_ARGUMENT, "optimizer: %s", what) : GENAI_OK;
}

GENAI_API genai_optimizer *genai_optimizer_create(genai_ctx *ctx, const genai_optimizer_desc *desc) {
    genai_optimizer_desc d = GENAI__ZEROED;
    if (!ctx) return NULL;
    if (desc) d = *desc;
    if (genai__optimizer_resolve(ctx, &d)) return NULL;
    genai_optimizer *o = (genai_optimizer *)genai__alloc(ctx, 1, sizeof *o);
    if (!o) return NULL;
    o->ctx = ctx;
    o->desc = d;
    return o;
}

GENAI_API void genai_optimizer_destroy(genai_optimizer *o) {
    if (!o) return;
    for (int i = 0; i < o->groups; i++) {
        genai__free(o->ctx, o->group[i].m);
        genai__free(o->ctx, o->group[i].v);
    }
    genai__free(o->ctx, o->group);
    genai__free(o->ctx, o->partial);
    genai__free(o->ctx, o);
}

static genai_result genai__optimizer_add(genai_optimizer *o, float *value, float *gradient, size_t n, genai_tensor *tensor, int tensors,
                                         float lr_scale) {
    genai_ctx    *ctx = o->ctx;
    genai__group *group, g = {value, gradient, n, tensor, tensors, lr_scale == 0 ? 1 : lr_scale, 0, 0, NULL, NULL};
    size_t        chunks = n / GENAI__CHUNK + 1;
    if (!genai__in_range(g.lr_scale, 0, 1e6f)) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "optimizer: lr_scale must be above 0 and at most 1e6");
    for (int i = 0; i < o->groups; i++)
        if (n && o->group[i].value == value)
            return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "optimizer: %s is in the optimizer already", tensor->name ? tensor->name : "the tensor");
    group = (genai__group *)genai__grow(ctx, o->group, (size_t)o->groups + 1, sizeof *group);
    if (!group) return GENAI_ERROR_MEMORY;
    o->group = group;
    if (chunks > o->partials) {
        float *partial = (float *)genai__grow(ctx, o->partial, chunks, sizeof *partial);
        if (!partial) return GENAI_ERROR_MEMORY;
        o->partial = partial;
        o->partials = chunks;
    }
    int second = o->desc.rule != GENAI_RULE_SGD;
    int first = o->desc.rule == GENAI_RULE_ADAM || o->desc.rule == GENAI_RULE_ADAMW || o->desc.momentum > 0;
    if (n && first) g.m = (float *)genai__alloc(ctx, n, sizeof(float));
    if (n && second) g.v = (float *)genai__alloc(ctx, n, sizeof(float));
    if (n && ((first && !g.m) || (second && !g.v))) {
        genai__free(ctx, g.m);
        genai__free(ctx, g.v);
        return GENAI_ERROR_MEMORY;
    }
    o->group[o->groups++] = g;
    return GENAI_OK;
}

GENAI_API genai_result genai_optimizer_add_tensor(genai_optimizer *o, genai_tensor *t, float lr_scale) {
    if (!o) return GENAI_ERROR_ARGUMENT;
    if (!t) return o->ctx->result ? o->ctx->result : genai__fail(o->ctx, GENAI_ERROR_ARGUMENT, "optimizer: the tensor is NULL");
    if (t->op || t->flags & GENAI__ON_TAPE || t->ctx != o->ctx)
        return genai__fail(o->ctx, GENAI_ERROR_ARGUMENT, "optimizer: only a tensor from genai_tensor_create of the same context can be trained");
    return genai__optimizer_add(o, t->data, NULL, t->count, t, 1, lr_scale);
}

static float *genai__group_gradient(const genai__group *g) { return g->gradient ? g->gradient : g->tensor->grad ? g->tensor->grad->data : NULL; }

GENAI_API void genai_optimizer_zero(genai_optimizer *o) {
    double bytes = 0;
    if (!o) return;
    genai__trace(o->ctx, "zero_gradients", 0, 0, 0);
    for (int i = 0; i < o->groups; i++) {
        float *gradient = genai__group_gradient(&o->group[i]);
        if (gradient) memset(gradient, 0, o->group[i].n * sizeof(float));
        if (gradient) bytes += (double)o->group[i].n * sizeof(float);
    }
    genai__trace(o->ctx, "zero_gradients", 0, 1, bytes);
}

typedef struct genai__update_job {
    const genai__kernels *kernels;
    genai_rule            rule;
    float                *p, *m, *v, *partial;
    const float          *g;
    genai__update         u;
} genai__update_job;

static void genai__squares_chunk(void *arg, size_t from, size_t count) {
    genai__update_job *job = (genai__update_job *)arg;
    job->partial[from / GENAI__CHUNK] = job->kernels->sum_squares(count, job->g + from);
}

static void genai__update_chunk(void *arg, size_t from, size_t count) {
    genai__update_job *job = (genai__update_job *)arg;
    float             *p = job->p + from, *m = job->m ? job->m + from : NULL, *v = job->v ? job->v + from : NULL;
    const float       *g = job->g + from;
    if (job->rule == GENAI_RULE_SGD) job->kernels->sgd(count, p, g, m, &job->u);
    else if (job->rule == GENAI_RULE_RMSPROP) job->kernels->rmsprop(count, p, g, v, m, &job->u);
    else job->kernels->adam(count, p, g, m, v, &job->u);
}

/* The squared norm of all gradients. Not finite: *bad names the tensor to blame. A gradient whose square overflows counts
 * as infinite, since it would stay in the second moment for ever. */
static double genai__optimizer_squares(genai_optimizer *o, const char **bad) {
    double            sum = 0;
    genai__update_job job = GENAI__ZEROED;
    int               i, j;
    job.kernels = o->ctx->kernels;
    job.partial = o->partial;
    for (i = 0; i < o->groups; i++) {
        const genai__group *g = &o->group[i];
        double              of_group = 0;
        job.g = genai__group_gradient(g);
        if (!job.g || !g->n || g->rests) continue;
        genai__for_chunks(o->ctx, g->n, genai__squares_chunk, &job);
        for (size_t c = 0; c * GENAI__CHUNK < g->n; c++) of_group += (double)o->partial[c];
        sum += of_group;
        if (genai__finite((float)of_group)) continue;
        for (j = 0; j < g->tensors - 1; j++)
            if (!genai__finite(job.kernels->sum_squares(g->tensor[j].count, g->tensor[j].grad->data))) break;
        *bad = g->tensor[j].name ? g->tensor[j].name : "a tensor";
        return sum;
    }
    return sum;
}

/* The step, without recording an error: NONFINITE with the tensor's name in *bad, and nothing changed. */
static genai_result genai__optimizer_try(genai_optimizer *o, const char **bad) {
    const genai_optimizer_desc *d = &o->desc;
    double                      norm, rate, beta1 = d->beta1 < 0 ? 0 : (double)d->beta1, beta2 = d->beta2 < 0 ? 0 : (double)d->beta2;
    uint64_t                    mode = genai__fp_enter();
    genai__update_job           job = GENAI__ZEROED;
    double                      bytes = 0;
    *bad = NULL;
    genai__trace(o->ctx, genai__rule_words[d->rule], 0, 0, 0);
    norm = sqrt(genai__optimizer_squares(o, bad));
    if (*bad) {
        genai__trace(o->ctx, genai__rule_words[d->rule], 0, 1, 0);
        genai__fp_leave(mode);
        return GENAI_ERROR_NONFINITE;
    }
    o->norm = (float)norm;
    o->ctx->changes++;
    job.kernels = o->ctx->kernels;
    job.rule = d->rule;
    job.u.beta1 = (float)beta1;
    job.u.beta2 = (float)beta2;
    job.u.eps = d->eps;
    job.u.momentum = d->momentum;
    job.u.nesterov = d->nesterov;
    job.u.scale = d->clip_norm > 0 && norm > (double)d->clip_norm ? (float)((double)d->clip_norm / norm) : 1;
    job.u.clip = d->clip_value;
    job.u.correction1 = (float)(1 / (1 - genai__power(beta1, o->t + 1)));
    job.u.correction2 = (float)(1 / (1 - genai__power(beta2, o->t + 1)));
    rate = (double)d->lr * genai__schedule(d, o->t);
    for (int i = 0; i < o->groups; i++) {
        const genai__group *g = &o->group[i];
        job.p = g->value;
        job.g = genai__group_gradient(g);
        job.m = g->m;
        job.v = g->v;
        job.u.lr = (float)(rate * (double)g->lr_scale);
        job.u.decay = g->bare || d->rule == GENAI_RULE_ADAMW ? 0 : d->weight_decay;
        job.u.decoupled = !g->bare && d->rule == GENAI_RULE_ADAMW ? d->weight_decay : 0;
        if (!job.g || !g->n || g->rests) continue;
        genai__for_chunks(o->ctx, g->n, genai__update_chunk, &job);
        bytes += (double)g->n * (double)(3 + 2 * (g->m != NULL) + 2 * (g->v != NULL)) * sizeof(float);
    }
    o->t++;
    genai__trace(o->ctx, genai__rule_words[d->rule], 0, 1, bytes);
    genai__fp_leave(mode);
    return GENAI_OK;
}

GENAI_API genai_result genai_optimizer_step(genai_optimizer *o) {
    const char *bad;
    if (!o) return GENAI_ERROR_ARGUMENT;
    genai_result result = genai__optimizer_try(o, &bad);
    return result ? genai__fail(o->ctx, result, "optimizer: after %lu steps the gradient of %s is not finite; nothing was changed",
                                (unsigned long)o->t, bad)
                  : GENAI_OK;
}

GENAI_API float genai_optimizer_lr(const genai_optimizer *o) { return o ? (float)((double)o->desc.lr * genai__schedule(&o->desc, o->t)) : 0; }
GENAI_API float genai_optimizer_norm(const genai_optimizer *o) { return o ? o->norm : 0; }
GENAI_API genai_optimizer_desc genai_optimizer_resolved(const genai_optimizer *o) {
    const genai_optimizer_desc none = GENAI__ZEROED;
    return o ? o->desc : none;
}

/* For checkpoints: the number of values in a group and its moments (NULL where the rule has none). */
static size_t genai__optimizer_state(genai_optimizer *o, int group, float **m, float **v) {
    *m = o->group[group].m;
    *v = o->group[group].v;
    return o->group[group].n;
}

/* ====================================================================================================================
 * >>layers (private)
 * One row of genai__layer_kinds for each layer kind: the words it takes, its shape rule and what it does. To add a layer,
 * write a shape function (or take one of these), a forward function and a row; the parser, the files and the layer table
 * know layers only through the row.
 * ================================================================================================================= */
#define GENAI__MAX_LAYERS 256
#define GENAI__MAX_NUMBER (1 << 24)              /* any whole number in a network text                                */
#define GENAI__MAX_IMAGE ((size_t)1 << 28)       /* values between two layers, for one image                          */
#define GENAI__MAX_WEIGHTS ((uint64_t)1 << 33)   /* of one layer                                                      */

#define GENAI__SLOTS 5                            /* parameters of one layer, and running statistics                   */

typedef struct genai__layer_kind genai__layer_kind;

/* How a tensor that a layer owns begins: scales are 1, or normal(1, 0.02) in a net that starts from normal(0, 0.02); weights
 * follow `init`; VECTOR: as NORMALS, the u of the parameter in the same slot. */
enum { GENAI__ZEROS, GENAI__ONES, GENAI__SCALES, GENAI__NORMALS, GENAI__WEIGHTS, GENAI__VECTOR };
typedef struct genai__owned {
    const char *name; /* its last word in files; NULL: there is none */
    int         start, ndim, dim[4], fan_in, fan_out;
} genai__owned;

typedef struct genai__layer {
    const genai__layer_kind *kind;
    const char *text;                 /* its words in the net's text, for messages and the table                     */
    int         length;
    int         index;                /* its number in the net                                                       */
    int         n;                    /* the whole number after the name: units, channels, factor, groups, window    */
    float       number;               /* the number after the name: slope, alpha, probability                        */
    int         words, word[3];       /* the numbers joined by x after the name, as in 4x4x256                       */
    int         k[2], stride[2], pad[2], extra[2], bias; /* pad GENAI_SAME; extra: output padding                     */
    float       momentum, eps;
    genai_init  init;
    int         in_ndim, in[3], ndim, dim[3]; /* shapes of one input and one output                                  */
    const char *name;                         /* of what it keeps or takes, name_length characters                   */
    int         name_length, with_ndim, with[3]; /* keep: the shape of what is kept; ...                             */
    struct genai__layer *keep;                /* the layer that kept what it takes (keep: itself); keep: the last that takes it */
    const struct genai__layer *last;
    int         classes, labelled;            /* of the net; 1: the layer needs them                                 */
    int         spectral, ready;              /* 1: its weights are divided by their spectral norm; that of slot 0 is already */
    genai__owned  own[2 * GENAI__SLOTS];      /* what it owns: parameters (weight and bias, or gamma and beta first), ... */
    genai_tensor *parameter[GENAI__SLOTS], *running[GENAI__SLOTS]; /* ... then running statistics (mean and variance) */
} genai__layer;

/* What a layer owns, so far as others must know: a weight in slot 0 that products read and a bias in slot 1; statistics of the batch. */
enum { GENAI__OWNS_NOTHING, GENAI__OWNS_WEIGHT, GENAI__OWNS_SCALE, GENAI__OWNS_SCALE_AND_STATISTICS };

/* One forward pass of a net. */
typedef struct genai__pass {
    genai_mode    mode;
    genai_tensor *hot; /* labels as [N,classes]: 1 where it is the class; NULL: none */
    genai_tensor *kept[GENAI__MAX_LAYERS]; /* by the number of the layer that keeps; they are `held` until their last use */
} genai__pass;
/* What it means for the initial weights of the layer before it: nothing (look further), He, Glorot. */
enum { GENAI__HINT_NONE, GENAI__HINT_HE, GENAI__HINT_GLOROT };

struct genai__layer_kind {
    const char *name, *usage;
    const char *args; /* N whole number, F number, n f such that may be missing, D numbers joined by x, W name, k s p o b i m e u: see options */
    float       low, high, standard; /* of F and f                                                                   */
    int         owns, hint;
    int (*shape)(genai__layer *l, char *why); /* fills ndim, dim and own; 0 and a sentence if it can't                 */
    genai_tensor *(*forward)(const genai__layer *l, genai_tensor *x, genai__pass *pass);
};

#define GENAI__WHY 200
static GENAI__PRINTF(2, 3) int genai__why(char *why, const char *format, ...) {
    GENAI__FORMAT(why, GENAI__WHY, format);
    return 0;
}

/* "28x28x1" or "784"; to holds 40 characters. */
static const char *genai__dims_text(char *to, int ndim, const int *dim) {
    if (ndim == 3) snprintf(to, 40, "%dx%dx%d", dim[0], dim[1], dim[2]);
    else snprintf(to, 40, "%d", dim[0]);
    return to;
}

static int genai__dims_count(int ndim, const int *dim) { /* inputs and outputs of layers are at most GENAI__MAX_IMAGE */
    return ndim == 3 ? dim[0] * dim[1] * dim[2] : dim[0];
}

static int genai__wants_image(const genai__layer *l, char *why) {
    return l->in_ndim == 3 ? 1 : genai__why(why, "needs an image HxWxC but gets %d values; put a reshape before it", l->in[0]);
}

static int genai__wants_labels(genai__layer *l, char *why) {
    l->labelled = 1;
    return l->classes ? 1 : genai__why(why, "needs labels, but the net is made for 0 classes");
}

static int genai__shape_convt(genai__layer *l, char *why);
/* The layer owns a tensor [a,b,c,d], without the last ones where ndim is smaller, in this slot: a statistic from GENAI__SLOTS on. */
static genai__owned *genai__own(genai__layer *l, int slot, const char *name, int start, int ndim, int a, int b, int c, int d) {
    const genai__owned plain = {name, start, ndim, {a, b, c, d}, a, b};
    genai__owned      *own = &l->own[slot];
    *own = plain;
    if (l->spectral && (start == GENAI__WEIGHTS || start == GENAI__NORMALS))
        genai__own(l, slot + GENAI__SLOTS, name, GENAI__VECTOR, 1, l->kind->shape == genai__shape_convt ? c : own->dim[ndim - 1], 0, 0, 0);
    return own;
}

/* A weight and, if wanted, a bias for n outputs. */
static void genai__own_weight(genai__layer *l, int ndim, int a, int b, int c, int d) {
    genai__owned *own = genai__own(l, 0, "weight", GENAI__WEIGHTS, ndim, a, b, c, d);
    if (ndim == 4) {
        own->fan_in = l->in[2];
        own->fan_out = l->n;
    }
    if (l->bias) genai__own(l, 1, "bias", GENAI__ZEROS, 1, l->n, 0, 0, 0);
}

/* Gamma and beta of c channels, of each class if there are classes, and running statistics. */
static void genai__own_scale(genai__layer *l, int classes, int c) {
    int ndim = classes ? 2 : 1, a = classes ? classes : c, statistics = l->kind->owns == GENAI__OWNS_SCALE_AND_STATISTICS;
    genai__own(l, 0, "gamma", statistics ? GENAI__SCALES : GENAI__ONES, ndim, a, c, 0, 0);
    genai__own(l, 1, "beta", GENAI__ZEROS, ndim, a, c, 0, 0);
    if (!statistics) return;
    genai__own(l, GENAI__SLOTS, "mean", GENAI__ZEROS, 1, c, 0, 0, 0);
    genai__own(l, GENAI__SLOTS + 1, "var", GENAI__ONES, 1, c, 0, 0, 0);
}

/* --- shapes --- */
static int genai__shape_to(genai__layer *l, int ndim, const int *dim) {
    l->ndim = ndim;
    memcpy(l->dim, dim, (size_t)ndim * sizeof *dim);
    return 1;
}
static int genai__shape_same(genai__layer *l, char *why) { (void)why; return genai__shape_to(l, l->in_ndim, l->in); }
static int genai__shape_flatten(genai__layer *l, char *why) {
    int count = genai__dims_count(l->in_ndim, l->in);
    (void)why;
    return genai__shape_to(l, 1, &count);
}
static int genai__shape_dense(genai__layer *l, char *why) {
    (void)why;
    genai__own_weight(l, 2, genai__dims_count(l->in_ndim, l->in), l->n, 0, 0);
    return genai__shape_to(l, 1, &l->n);
}

static int genai__shape_image(genai__layer *l, int64_t h, int64_t w, int c, char *why) {
    const int dim[3] = {(int)h, (int)w, c};
    if (h < 1 || w < 1 || h > GENAI__MAX_NUMBER || w > GENAI__MAX_NUMBER) return genai__why(why, "the output would be %lldx%lld", (long long)h, (long long)w);
    return genai__shape_to(l, 3, dim);
}

static int genai__shape_conv(genai__layer *l, char *why) {
    int64_t out[2];
    if (!genai__wants_image(l, why)) return 0;
    for (int i = 0; i < 2; i++) {
        int64_t in = l->in[i], span = in + 2 * (int64_t)l->pad[i] - l->k[i];
        if (l->pad[i] == GENAI_SAME) out[i] = (in + l->stride[i] - 1) / l->stride[i];
        else if (span < 0)
            return genai__why(why, "the image is %dx%d, with padding %lldx%lld, which is smaller than the kernel %dx%d", l->in[0], l->in[1],
                              l->in[0] + 2 * (long long)l->pad[0], l->in[1] + 2 * (long long)l->pad[1], l->k[0], l->k[1]);
        else out[i] = span / l->stride[i] + 1;
    }
    genai__own_weight(l, 4, l->k[0], l->k[1], l->in[2], l->n);
    return genai__shape_image(l, out[0], out[1], l->n, why);
}

static int genai__shape_convt(genai__layer *l, char *why) {
    int64_t out[2];
    if (!genai__wants_image(l, why)) return 0;
    for (int i = 0; i < 2; i++) {
        int64_t in = l->in[i], s = l->stride[i];
        if (l->pad[i] == GENAI_SAME && l->extra[i]) return genai__why(why, "output padding (o%d) goes with valid or an explicit padding, not with same", l->extra[i]);
        if (l->extra[i] >= s && l->extra[i]) return genai__why(why, "output padding %d must be smaller than the stride %d", l->extra[i], l->stride[i]);
        out[i] = l->pad[i] == GENAI_SAME ? in * s : (in - 1) * s - 2 * (int64_t)l->pad[i] + l->k[i] + l->extra[i];
    }
    genai__own_weight(l, 4, l->k[0], l->k[1], l->n, l->in[2]);
    return genai__shape_image(l, out[0], out[1], l->n, why);
}

static int genai__shape_norm(genai__layer *l, char *why) {
    int count = genai__dims_count(l->in_ndim, l->in), c = l->in[l->in_ndim - 1];
    if (strchr(l->kind->args, 'N')) {
        if (c % l->n) return genai__why(why, "%d channels can't be divided into %d groups", c, l->n);
        count /= l->n;
    }
    if (l->kind->owns != GENAI__OWNS_SCALE_AND_STATISTICS && count < 2) return genai__why(why, "each image has only 1 value to normalise over");
    genai__own_scale(l, 0, c);
    return genai__shape_same(l, why);
}

static int genai__shape_conditional_norm(genai__layer *l, char *why) {
    if (!genai__wants_labels(l, why)) return 0;
    genai__own_scale(l, l->classes, l->in[l->in_ndim - 1]);
    return genai__shape_same(l, why);
}

static int genai__shape_label(genai__layer *l, char *why) {
    int more = l->n ? l->n : l->classes;
    if (!genai__wants_labels(l, why)) return 0;
    if (l->n) genai__own(l, 0, "embed", GENAI__NORMALS, 2, l->classes, l->n, 0, 0);
    genai__shape_same(l, why);
    if (l->dim[l->ndim - 1] > GENAI__MAX_NUMBER - more) return genai__why(why, "the output would have more than %d channels", GENAI__MAX_NUMBER);
    l->dim[l->ndim - 1] += more;
    return 1;
}

static int genai__shape_project(genai__layer *l, char *why) {
    int           d = genai__dims_count(l->in_ndim, l->in);
    genai__owned *embed = genai__own(l, 2, "embed", GENAI__WEIGHTS, 2, l->classes, d, 0, 0);
    embed->fan_in = d; /* it begins as the weight does */
    embed->fan_out = l->n = 1;
    return genai__wants_labels(l, why) && genai__shape_dense(l, why);
}

static int genai__shape_instance_norm(genai__layer *l, char *why) {
    if (!genai__wants_image(l, why)) return 0;
    if (l->in[0] * l->in[1] < 2) return genai__why(why, "each channel has only 1 value to normalise over");
    return genai__shape_norm(l, why);
}

static int genai__shape_reshape(genai__layer *l, char *why) {
    char   text[40], in[40];
    size_t want = 1;
    int    i, have = genai__dims_count(l->in_ndim, l->in), fits = 1;
    if (l->words == 2) return genai__why(why, "a shape is HxWxC or one number, not two");
    for (i = 0; i < l->words; i++) fits = fits && genai__mul(want, (size_t)l->word[i], &want);
    genai__shape_to(l, l->words, l->word);
    if (fits && want == (size_t)have) return 1;
    return genai__why(why, "%s is %zu values but there are %d (%s)", genai__dims_text(text, l->ndim, l->dim), want, have,
                      genai__dims_text(in, l->in_ndim, l->in));
}

static int genai__shape_upsample(genai__layer *l, char *why) {
    return genai__wants_image(l, why) && genai__shape_image(l, (int64_t)l->in[0] * l->n, (int64_t)l->in[1] * l->n, l->in[2], why);
}

static int genai__shape_pool(genai__layer *l, char *why) {
    int stride = l->stride[0] ? l->stride[0] : l->n;
    if (!genai__wants_image(l, why)) return 0;
    if (l->stride[0] != l->stride[1]) return genai__why(why, "the stride must be the same in both directions");
    if (l->n > l->in[0] || l->n > l->in[1]) return genai__why(why, "the image is %dx%d, which is smaller than the window %dx%d", l->in[0], l->in[1], l->n, l->n);
    return genai__shape_image(l, (l->in[0] - l->n) / stride + 1, (l->in[1] - l->n) / stride + 1, l->in[2], why);
}

static int genai__shape_global(genai__layer *l, char *why) { return genai__wants_image(l, why) && genai__shape_to(l, 1, &l->in[2]); }

static int genai__shape_crop(genai__layer *l, char *why) {
    if (!genai__wants_image(l, why)) return 0;
    if (l->words == 3) return genai__why(why, "a size is HxW");
    if (l->words == 1) l->word[1] = l->word[0];
    if (l->word[0] > l->in[0] || l->word[1] > l->in[1]) return genai__why(why, "the image is only %dx%d", l->in[0], l->in[1]);
    return genai__shape_image(l, l->word[0], l->word[1], l->in[2], why);
}

static int genai__shape_pad(genai__layer *l, char *why) {
    return genai__wants_image(l, why) && genai__shape_image(l, (int64_t)l->in[0] + 2 * (int64_t)l->n, (int64_t)l->in[1] + 2 * (int64_t)l->n, l->in[2], why);
}

static int genai__shape_attention(genai__layer *l, char *why) {
    int     c = l->in[2], few = c < 8 ? 1 : c / 8, half = c < 2 ? 1 : c / 2;
    int64_t places = (int64_t)l->in[0] * l->in[1];
    if (!genai__wants_image(l, why)) return 0;
    if (places * places > (int64_t)GENAI__MAX_IMAGE)
        return genai__why(why, "each of %dx%d places would look at all others: put it where the image is smaller", l->in[0], l->in[1]);
    genai__own(l, 0, "f", GENAI__WEIGHTS, 2, c, few, 0, 0);
    genai__own(l, 1, "g", GENAI__WEIGHTS, 2, c, few, 0, 0);
    genai__own(l, 2, "h", GENAI__WEIGHTS, 2, c, half, 0, 0);
    genai__own(l, 3, "v", GENAI__WEIGHTS, 2, half, c, 0, 0);
    genai__own(l, 4, "gate", GENAI__ZEROS, 1, 1, 0, 0, 0);
    return genai__shape_same(l, why);
}

static int genai__shape_stddev(genai__layer *l, char *why) {
    genai__own(l, GENAI__SLOTS, "level", GENAI__ONES, 1, 1, 0, 0, 0);
    genai__shape_same(l, why);
    l->dim[l->ndim - 1]++;
    return 1;
}

static int genai__shape_keep(genai__layer *l, char *why) {
    l->with_ndim = l->in_ndim;
    memcpy(l->with, l->in, sizeof l->with);
    return genai__shape_same(l, why);
}

static int genai__shape_add(genai__layer *l, char *why) {
    char in[40], with[40];
    if (l->in_ndim == l->keep->with_ndim && !memcmp(l->in, l->keep->with, (size_t)l->in_ndim * sizeof(int))) return genai__shape_same(l, why);
    return genai__why(why, "%s can't be added to %s", genai__dims_text(with, l->keep->with_ndim, l->keep->with), genai__dims_text(in, l->in_ndim, l->in));
}

static int genai__shape_concat(genai__layer *l, char *why) {
    char       in[40], with[40];
    const int *a = l->in, *b = l->keep->with;
    int        last = l->in_ndim - 1;
    genai__shape_same(l, why);
    if (l->in_ndim != l->keep->with_ndim || (last && (a[0] != b[0] || a[1] != b[1])) || a[last] > GENAI__MAX_NUMBER - b[last])
        return genai__why(why, "the channels of %s can't go behind those of %s", genai__dims_text(with, l->keep->with_ndim, b), genai__dims_text(in, l->in_ndim, a));
    l->dim[last] += b[last];
    return 1;
}

static int genai__shape_swap(genai__layer *l, char *why) {
    (void)why;
    genai__shape_to(l, l->keep->with_ndim, l->keep->with);
    l->keep->with_ndim = l->in_ndim;
    memcpy(l->keep->with, l->in, sizeof l->in);
    return 1;
}

/* --- spectral norm --- */
static genai_tensor *genai__unit(genai_tensor *x) { /* x divided by its length */
    return genai_div(x, genai_sqrt(genai_scale(genai_sum(genai_square(x), 0), 1, 1e-24f)));
}

/* The largest singular value of a weight as a matrix M [rest,out], one value: u' M' v with u and v as constants (Miyato et al. 2018,
 * eq. 7, algorithm 1). v follows from u, the running one, which in TRAIN then makes one step towards M's singular vector. */
static genai_tensor *genai__sigma(const genai__layer *l, int slot, genai_mode mode) {
    static const int order[4] = {0, 1, 3, 2};
    genai_tensor    *w = l->parameter[slot], *running = l->running[slot], *m, *u, *v, *t;
    const int        row[2] = {1, running->dim[0]}, matrix[2] = {-1, running->dim[0]};
    u = genai__unit(genai_reshape(running, 2, row));
    m = genai_reshape(l->kind->shape == genai__shape_convt ? genai_transpose(w, order) : w, 2, matrix);
    v = genai__unit(genai_matmul(u, genai_detach(m), 0, 1));
    t = genai_matmul(v, m, 0, 0);
    if (mode == GENAI_TRAIN && (u = genai__unit(genai_detach(t))) != NULL) {
        memcpy(running->data, u->data, running->count * sizeof(float));
        w->ctx->changes++;
    }
    return genai_matmul(t, u, 0, 1);
}

/* The weight in a slot, as it is used. */
static genai_tensor *genai__weight(const genai__layer *l, int slot, const genai__pass *pass) {
    genai_tensor *w = l->parameter[slot], *sigma;
    if (!l->spectral || (l->ready && slot == 0)) return w;
    sigma = genai__sigma(l, slot, pass->mode);
    return genai_mul(w, genai_div(genai_scalar(w->ctx, 1), sigma));
}

/* --- forward --- */
static genai_tensor *genai__forward_reshape(const genai__layer *l, genai_tensor *x, genai__pass *pass) {
    const int dim[4] = {x->dim[0], l->dim[0], l->dim[1], l->dim[2]};
    (void)pass;
    return genai_reshape(x, l->ndim + 1, dim);
}

static genai_tensor *genai__forward_dense(const genai__layer *l, genai_tensor *x, genai__pass *pass) {
    const int dim[2] = {x->dim[0], l->own[0].dim[0]};
    if (x->ndim > 2) x = genai_reshape(x, 2, dim);
    return genai_dense(x, genai__weight(l, 0, pass), l->parameter[1]);
}

static genai_tensor *genai__forward_conv(const genai__layer *l, genai_tensor *x, genai__pass *pass) {
    const genai_conv_desc d = {l->stride[0], l->stride[1], l->pad[0], l->pad[1], 0, 0};
    return genai_conv2d(x, genai__weight(l, 0, pass), l->parameter[1], &d);
}

static genai_tensor *genai__forward_convt(const genai__layer *l, genai_tensor *x, genai__pass *pass) {
    const genai_conv_desc d = {l->stride[0], l->stride[1], l->pad[0], l->pad[1], l->dim[0], l->dim[1]};
    return genai_conv2d_transpose(x, genai__weight(l, 0, pass), l->parameter[1], &d);
}

/* The row that belongs to each image of the table [classes,D] in a slot, which without a table is the label itself, as [N,D], or
 * [N,1,1,D] beside images. Each sum has one product that isn't 0, so the values are the table's own. */
static genai_tensor *genai__rows_of(const genai__layer *l, int slot, const genai__pass *pass, int ndim) {
    genai_tensor *rows = l->own[slot].name ? genai_matmul(pass->hot, genai__weight(l, slot, pass), 0, 0) : pass->hot;
    int           dim[4] = {-1, 1, 1, rows ? rows->dim[1] : 0};
    return rows && ndim == 4 ? genai_reshape(rows, 4, dim) : rows;
}

/* Conditional batch norm (Dumoulin et al. 2017, eq. 5): statistics of all, gamma and beta of the image's class. */
static genai_tensor *genai__forward_conditional_norm(const genai__layer *l, genai_tensor *x, genai__pass *pass) {
    genai_tensor *plain[2] = {genai_tensor_of(x->ctx, 1, l->running[0]->dim, NULL), genai_tensor_of(x->ctx, 1, l->running[0]->dim, NULL)}, *gamma;
    if (!plain[0] || !plain[1]) return NULL;
    plain[0] = genai_scale(plain[0], 1, 1);
    gamma = genai__rows_of(l, 0, pass, x->ndim);
    x = genai_mul(genai__batch_norm(x, plain, l->running, pass->mode, l->momentum, l->eps, 0, 0), gamma);
    return genai_add(x, genai__rows_of(l, 1, pass, x ? x->ndim : 0));
}

static genai_tensor *genai__forward_label(const genai__layer *l, genai_tensor *x, genai__pass *pass) {
    genai_tensor *rows = genai__rows_of(l, 0, pass, x->ndim);
    int           dim[4];
    if (!rows) return NULL;
    memcpy(dim, x->dim, sizeof dim);
    dim[x->ndim - 1] = rows->dim[x->ndim - 1];
    return genai_concat(x, genai__expand_to(rows, x->ndim, dim), x->ndim - 1);
}

/* w h + b + e_y h (Miyato and Koyama 2018, eq. 9, with a linear psi). */
static genai_tensor *genai__forward_project(const genai__layer *l, genai_tensor *x, genai__pass *pass) {
    const int dim[2] = {x->dim[0], l->own[0].dim[0]};
    x = genai_reshape(x, 2, dim);
    genai_tensor *plain = genai_dense(x, genai__weight(l, 0, pass), l->parameter[1]);
    genai_tensor *own = genai_mul(x, genai__rows_of(l, 2, pass, 2));
    return own ? genai_add(plain, genai_sum(own, 2)) : NULL;
}

static genai_tensor *genai__forward_global_average(const genai__layer *l, genai_tensor *x, genai__pass *pass) {
    x = genai_mean(x, 6);
    return x ? genai__forward_reshape(l, x, pass) : NULL;
}

/* The larger of the two halves, again and again; for an odd number the middle is in both, which changes neither the largest value nor its gradient. */
static genai_tensor *genai__forward_global_max(const genai__layer *l, genai_tensor *x, genai__pass *pass) {
    int n = l->in[0] * l->in[1], dim[3] = {x->dim[0], n, l->in[2]};
    for (x = genai_reshape(x, 3, dim); n > 1 && x; n = (n + 1) / 2)
        x = genai_max(genai_slice(x, 1, 0, (n + 1) / 2), genai_slice(x, 1, n - (n + 1) / 2, (n + 1) / 2));
    return x ? genai__forward_reshape(l, x, pass) : NULL;
}

/* Self-attention (Zhang et al. 2019, eqs. 1 to 3): each place takes in what is at the others, by how well g(here) and f(there) agree.
 * f, g, h and v are 1x1 convolutions. The products stand one after another since x's gradient is the sum of theirs. */
static genai_tensor *genai__forward_attention(const genai__layer *l, genai_tensor *x, genai__pass *pass) {
    const int     dim[3] = {x->dim[0], x->dim[1] * x->dim[2], x->dim[3]};
    genai_tensor *flat = genai_reshape(x, 3, dim), *f, *g, *h, *o;
    f = genai_matmul(flat, genai__weight(l, 0, pass), 0, 0);
    g = genai_matmul(flat, genai__weight(l, 1, pass), 0, 0);
    h = genai_matmul(flat, genai__weight(l, 2, pass), 0, 0);
    o = genai_matmul(genai_softmax(genai_matmul(g, f, 0, 1)), h, 0, 0);
    o = genai_mul(genai_matmul(o, genai__weight(l, 3, pass), 0, 0), l->parameter[4]);
    return genai_add(genai_reshape(o, 4, x->dim), x);
}

/* Minibatch standard deviation (Karras et al. 2018, section 3): of each value over a group of images, in the mean over values, as
 * one more channel. In EVAL it is the running mean, so that an image's result doesn't depend on others. */
static genai_tensor *genai__forward_stddev(const genai__layer *l, genai_tensor *x, genai__pass *pass) {
    genai_tensor *level = l->running[0];
    int           plane[4], size = x->dim[0] < 4 ? x->dim[0] : 4;
    memcpy(plane, x->dim, sizeof plane);
    plane[x->ndim - 1] = 1;
    if (pass->mode == GENAI_EVAL) return genai_concat(x, genai__expand_to(level, x->ndim, plane), x->ndim - 1);
    while (x->dim[0] % size) size++;
    int dim[3] = {x->dim[0] / size, size, -1};
    level = genai_reshape(x, 3, dim);
    level = genai_square(genai_sub(level, genai_mean(level, 2)));
    level = genai_mean(genai_sqrt(genai_scale(genai_mean(level, 2), 1, 1e-8f)), 4);
    if (pass->mode == GENAI_TRAIN) {
        genai_tensor *mean = genai_mean(level, 0);
        uint64_t      mode = genai__fp_enter();
        if (mean) x->ctx->kernels->lerp(1, l->running[0]->data, mean->data, l->momentum);
        genai__fp_leave(mode);
        x->ctx->changes++;
    }
    dim[2] = x->ndim == 4 ? x->dim[1] * x->dim[2] : 1;
    return genai_concat(x, genai_reshape(genai__expand_to(level, 3, dim), x->ndim, plane), x->ndim - 1);
}

static genai_tensor *genai__forward_keep(const genai__layer *l, genai_tensor *x, genai__pass *pass) {
    pass->kept[l->index] = x;
    x->flags |= GENAI__KEPT;
    x->held++;
    return x;
}

/* What was kept; the last to take it lets it go. */
static genai_tensor *genai__take_kept(const genai__layer *l, genai__pass *pass) {
    genai_tensor *t = pass->kept[l->keep->index];
    if (l->keep->last == l) {
        pass->kept[l->keep->index] = NULL;
        t->held--;
    }
    return t;
}

static genai_tensor *genai__forward_swap(const genai__layer *l, genai_tensor *x, genai__pass *pass) {
    genai_tensor *t = genai__take_kept(l, pass);
    t->held--;
    genai__forward_keep(l->keep, x, pass);
    return t;
}

#define GENAI__FORWARD(name, expression)                                                                               \
    static genai_tensor *genai__forward_##name(const genai__layer *l, genai_tensor *x, genai__pass *pass) {            \
        (void)l;                                                                                                       \
        (void)pass;                                                                                                    \
        return expression;                                                                                             \
    }
GENAI__FORWARD(batch_norm, genai__batch_norm(x, l->parameter, l->running, pass->mode, l->momentum, l->eps, 0, 0))
GENAI__FORWARD(layer_norm, genai_layer_norm(x, l->parameter[0], l->parameter[1], l->eps))
GENAI__FORWARD(instance_norm, genai_instance_norm(x, l->parameter[0], l->parameter[1], l->eps))
GENAI__FORWARD(group_norm, genai_group_norm(x, l->parameter[0], l->parameter[1], l->n, l->eps))
GENAI__FORWARD(relu, genai_relu(x))
GENAI__FORWARD(leaky_relu, genai_leaky_relu(x, l->number))
GENAI__FORWARD(elu, genai_elu(x, l->number))
GENAI__FORWARD(gelu, genai_gelu(x))
GENAI__FORWARD(silu, genai_silu(x))
GENAI__FORWARD(tanh, genai_tanh(x))
GENAI__FORWARD(sigmoid, genai_sigmoid(x))
GENAI__FORWARD(softplus, genai_softplus(x))
GENAI__FORWARD(softmax, genai_softmax(x))
GENAI__FORWARD(log_softmax, genai_log_softmax(x))
GENAI__FORWARD(dropout, pass->mode == GENAI_EVAL || l->number <= 0 ? x : genai_dropout(x, l->number))
GENAI__FORWARD(upsample, genai_upsample(x, l->n))
GENAI__FORWARD(average_pool, genai_average_pool(x, l->n, l->stride[0] ? l->stride[0] : l->n))
GENAI__FORWARD(max_pool, genai_max_pool(x, l->n, l->stride[0] ? l->stride[0] : l->n))
GENAI__FORWARD(crop, genai_slice(genai_slice(x, 1, (l->in[0] - l->dim[0]) / 2, l->dim[0]), 2, (l->in[1] - l->dim[1]) / 2, l->dim[1]))
GENAI__FORWARD(pad, genai_pad(genai_pad(x, 1, l->n, l->n), 2, l->n, l->n))
GENAI__FORWARD(add, genai_add(x, genai__take_kept(l, pass)))
GENAI__FORWARD(concat, genai_concat(x, genai__take_kept(l, pass), x->ndim - 1))

/* Activations whose derivatives can do with their value in place of their input (for the range of numbers that a layer takes),
 * so that they may be written over it. */
typedef struct genai__activation {
    genai_tensor *(*forward)(const genai__layer *l, genai_tensor *x, genai__pass *pass);
    const genai__op *op;
    size_t           kernel;
    int              same_sign; /* 1: dropout may be written over it in turn: a dropped value's gradient is 0 anyhow     */
} genai__activation;
#define GENAI__X(name, same_sign) {genai__forward_##name, &genai__op_##name, offsetof(genai__kernels, name), same_sign}
static const genai__activation genai__activations[] = {GENAI__X(relu, 1), GENAI__X(leaky_relu, 1), GENAI__X(elu, 0), GENAI__X(tanh, 0), GENAI__X(sigmoid, 0)};
#undef GENAI__X
static const genai__activation *genai__activation_of(const genai__layer *l) { /* or NULL */
    for (size_t i = 0; i < GENAI__COUNT(genai__activations); i++)
        if (genai__activations[i].forward == l->kind->forward) return &genai__activations[i];
    return NULL;
}

/* --- the table --- */
#define GENAI__INIT_USAGE " [init he|glorot|normal|orthogonal]"
#define GENAI__ROW(name, words, args, low, high, standard, owns, hint, shape, forward) \
    {name, name words, args, low, high, standard, GENAI__OWNS_##owns, GENAI__HINT_##hint, genai__shape_##shape, genai__forward_##forward},
static const genai__layer_kind genai__layer_kinds[] = {
    GENAI__ROW("dense", " N [nobias] [sn]" GENAI__INIT_USAGE, "Nbui", 0, 0, 0, WEIGHT, GLOROT, dense, dense)
    GENAI__ROW("conv", " N [kK] [sS] [same|valid|pP] [nobias] [sn]" GENAI__INIT_USAGE, "Nkspbui", 0, 0, 0, WEIGHT, GLOROT, conv, conv)
    GENAI__ROW("convt", " N [kK] [sS] [same|valid|pP] [oO] [nobias] [sn]" GENAI__INIT_USAGE, "Nkspobui", 0, 0, 0, WEIGHT, GLOROT, convt, convt)
    GENAI__ROW("batchnorm", " [momentum M] [eps E]", "me", 0, 0, 0, SCALE_AND_STATISTICS, NONE, norm, batch_norm)
    GENAI__ROW("cbatchnorm", " [momentum M] [eps E]", "me", 0, 0, 0, SCALE_AND_STATISTICS, NONE, conditional_norm, conditional_norm)
    GENAI__ROW("label", " [N] [sn]", "nu", 0, 0, 0, NOTHING, NONE, label, label)
    GENAI__ROW("project", " [nobias] [sn]" GENAI__INIT_USAGE, "bui", 0, 0, 0, WEIGHT, GLOROT, project, project)
    GENAI__ROW("layernorm", " [eps E]", "e", 0, 0, 0, SCALE, NONE, norm, layer_norm)
    GENAI__ROW("instancenorm", " [eps E]", "e", 0, 0, 0, SCALE, NONE, instance_norm, instance_norm)
    GENAI__ROW("groupnorm", " GROUPS [eps E]", "Ne", 0, 0, 0, SCALE, NONE, norm, group_norm)
    GENAI__ROW("relu", "", "", 0, 0, 0, NOTHING, HE, same, relu)
    GENAI__ROW("lrelu", " SLOPE", "F", 0, 1, 0, NOTHING, HE, same, leaky_relu)
    GENAI__ROW("elu", " [ALPHA]", "f", 0, 1000, 1, NOTHING, HE, same, elu)
    GENAI__ROW("gelu", "", "", 0, 0, 0, NOTHING, HE, same, gelu)
    GENAI__ROW("silu", "", "", 0, 0, 0, NOTHING, HE, same, silu)
    GENAI__ROW("tanh", "", "", 0, 0, 0, NOTHING, GLOROT, same, tanh)
    GENAI__ROW("sigmoid", "", "", 0, 0, 0, NOTHING, GLOROT, same, sigmoid)
    GENAI__ROW("softplus", "", "", 0, 0, 0, NOTHING, GLOROT, same, softplus)
    GENAI__ROW("dropout", " PROBABILITY", "F", 0, 0.999f, 0, NOTHING, NONE, same, dropout)
    GENAI__ROW("flatten", "", "", 0, 0, 0, NOTHING, NONE, flatten, reshape)
    GENAI__ROW("reshape", " HxWxC or reshape D", "D", 0, 0, 0, NOTHING, NONE, reshape, reshape)
    GENAI__ROW("upsample", " FACTOR", "N", 0, 0, 0, NOTHING, NONE, upsample, upsample)
    GENAI__ROW("avgpool", " K [sS]", "Ns", 0, 0, 0, NOTHING, NONE, pool, average_pool)
    GENAI__ROW("maxpool", " K [sS]", "Ns", 0, 0, 0, NOTHING, NONE, pool, max_pool)
    GENAI__ROW("globalavgpool", "", "", 0, 0, 0, NOTHING, NONE, global, global_average)
    GENAI__ROW("globalmaxpool", "", "", 0, 0, 0, NOTHING, NONE, global, global_max)
    GENAI__ROW("softmax", "", "", 0, 0, 0, NOTHING, GLOROT, same, softmax)
    GENAI__ROW("logsoftmax", "", "", 0, 0, 0, NOTHING, GLOROT, same, log_softmax)
    GENAI__ROW("crop", " HxW", "D", 0, 0, 0, NOTHING, NONE, crop, crop)
    GENAI__ROW("pad", " P", "N", 0, 0, 0, NOTHING, NONE, pad, pad)
    GENAI__ROW("attention", " [sn]", "u", 0, 0, 0, NOTHING, NONE, attention, attention)
    GENAI__ROW("stddev", " [momentum M]", "m", 0, 0, 0, NOTHING, NONE, stddev, stddev)
    GENAI__ROW("keep", " NAME", "W", 0, 0, 0, NOTHING, NONE, keep, keep)
    GENAI__ROW("add", " NAME", "W", 0, 0, 0, NOTHING, NONE, add, add)
    GENAI__ROW("concat", " NAME", "W", 0, 0, 0, NOTHING, NONE, concat, concat)
    GENAI__ROW("swap", " NAME", "W", 0, 0, 0, NOTHING, NONE, swap, swap)
};
#undef GENAI__ROW

/* The words after a layer's name, by their letter in args. Those with a capital stand for the letter and a number. */
typedef struct genai__layer_option { const char *word; char letter; } genai__layer_option;
static const genai__layer_option genai__layer_options[] = {{"kK", 'k'}, {"sS", 's'}, {"pP", 'p'}, {"oO", 'o'}, {"same", 'p'}, {"valid", 'p'},
                                                           {"nobias", 'b'}, {"sn", 'u'}, {"init", 'i'}, {"momentum", 'm'}, {"eps", 'e'}};
static const char *const genai__init_words[] = {"he", "glorot", "normal", "orthogonal"}; /* in the order of genai_init, from 1 */

/* ====================================================================================================================
 * >>net (private)
 * A network text is parsed into layers, shapes are worked out, and only then memory is taken: one block of parameters,
 * one of gradients, one of running statistics. Each tensor in a block begins on a cache line; the gaps are zeros and stay
 * so under every update rule, so that optimiser and averaging run over the whole block.
 *
 *   network = layer { "|" layer }      layer = name { word }      words: the `usage` of the layer's row
 *   N       = digits { ("*" | "/") digits }, from left to right, divisions without rest: "dense 28/4*28/4*64"
 *   K, S, P, O, HxWxC = N { "x" N }    one number for K, S, P, O stands for both directions
 * ================================================================================================================= */
struct genai_net {
    genai_ctx    *ctx;
    char         *text, *name, *names;
    int           ndim, dim[3]; /* of one input */
    genai_init    init;
    uint32_t      stream;
    genai__layer *layer;
    int           layers, classes, labelled, spectral; /* labelled: some layer needs labels; spectral: all have sn    */
    genai_tensor *tensor, *gradient; /* tensors: parameters, then statistics; gradients: one for each parameter       */
    int           parameters, statistics;
    float        *values, *gradients, *running;
    size_t        size, running_size; /* of the blocks, with gaps                                                     */
    size_t        count;              /* trained values                                                               */
    int           trainable;
    struct genai__ready *ready;       /* one for each layer, when the net has been used                               */
    float        *folded;             /* biases and scales for them                                                   */
    size_t        ready_at;           /* ctx->changes then                                                            */
};

/* A layer's parameters for use: packed as the product reads them and with the batch norm that follows folded in. */
typedef struct genai__ready {
    genai__kept  kept;
    genai_tensor weight, bias;
    int          norm; /* the layer that is folded in, or 0 */
} genai__ready;

/* --- parser --- */
static GENAI__PRINTF(3, 4) genai_result genai__syntax(const genai_net *net, const char *at, const char *format, ...) {
    char        what[320], line_text[32] = "";
    const char *p, *line = net->text;
    int         number = 1;
    GENAI__FORMAT(what, sizeof what, format);
    for (p = net->text; p < at; p++)
        if (*p == '\n') {
            line = p + 1;
            number++;
        }
    if (number > 1) snprintf(line_text, sizeof line_text, "line %d, ", number);
    return genai__fail(net->ctx, GENAI_ERROR_SYNTAX, "network text of %s, %scolumn %d: %s", net->name, line_text, (int)(at - line) + 1, what);
}

static int genai__is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static int genai__is_digit(char c) { return c >= '0' && c <= '9'; }
static const char *genai__skip_space(const char *p) {
    while (genai__is_space(*p)) p++;
    return p;
}
static const char *genai__word_end(const char *p) {
    while (*p && *p != '|' && !genai__is_space(*p)) p++;
    return p;
}
static int genai__word_is(const char *p, const char *end, const char *word) {
    return strlen(word) == (size_t)(end - p) && !memcmp(p, word, (size_t)(end - p));
}
static int genai__quoted(const char *p, const char *end) { return end - p > 40 ? 40 : (int)(end - p); } /* length to show in a message */

/* N of the grammar above; returns what follows, or NULL with the error set. */
static const char *genai__parse_product(const genai_net *net, const char *p, int least, int *value) {
    const char *start = p, *end = genai__word_end(p);
    uint64_t    total = 0, n;
    char        operation = 0;
    for (;;) {
        const char *digits = p;
        for (n = 0; genai__is_digit(*p); p++)
            if (n <= GENAI__MAX_NUMBER) n = n * 10 + (uint64_t)(*p - '0');
        if (p == digits) return genai__syntax(net, p, "a whole number is missing in '%.*s'", genai__quoted(start, end), start), GENAI__NULL;
        if (operation == '/') {
            if (!n || total % n)
                return genai__syntax(net, start, "'%.*s' is not a whole number: %lu can't be divided by %lu", genai__quoted(start, end), start,
                                     (unsigned long)total, (unsigned long)n), GENAI__NULL;
            total /= n;
        } else total = operation ? total * n : n;
        if (total > GENAI__MAX_NUMBER)
            return genai__syntax(net, start, "'%.*s' is larger than %d", genai__quoted(start, end), start, GENAI__MAX_NUMBER), GENAI__NULL;
        if (*p != '*' && *p != '/') break;
        operation = *p++;
    }
    if (total < (uint64_t)least) return genai__syntax(net, start, "'%.*s' must be at least %d", genai__quoted(start, end), start, least), GENAI__NULL;
    *value = (int)total;
    return p;
}

/* Up to `most` numbers joined by x, which fill the word; returns how many, 0 with the error set. */
static int genai__parse_dims(const genai_net *net, const char *p, int most, int least, int *dim) {
    const char *start = p, *end = genai__word_end(p);
    int         n = 0;
    while (n < most) {
        p = genai__parse_product(net, p, least, &dim[n]);
        if (!p) return 0;
        n++;
        if (p == end) return n;
        if (*p != 'x') break;
        p++;
    }
    genai__syntax(net, p, "'%.*s' should end here", genai__quoted(start, end), start);
    return 0;
}

static int genai__parse_pair(const genai_net *net, const char *p, int least, int *pair) {
    int n = genai__parse_dims(net, p, 2, least, pair);
    if (n == 1) pair[1] = pair[0];
    return n;
}

static int genai__parse_float(const genai_net *net, const char *p, const char *what, float low, float high, float *value) {
    const char *end = genai__word_end(p), *after;
    char        l[32], h[32];
    double      x = 0;
    after = genai__parse_number(p, &x);
    if (p == end || after != end) return genai__syntax(net, p, "%s needs a number, not '%.*s'", what, genai__quoted(p, end), p), 0;
    if (x < (double)low || x > (double)high)
        return genai__syntax(net, p, "%s must be from %s to %s, not %.*s", what, genai__number(l, (double)low, 4), genai__number(h, (double)high, 4),
                             genai__quoted(p, end), p), 0;
    *value = (float)x;
    return 1;
}

/* The word isn't one of this layer's: says so, with the nearest that is. */
static int genai__parse_unknown(const genai_net *net, const genai__layer *l, const char *p, const char *end) {
    const char *words[GENAI__COUNT(genai__layer_options)];
    size_t      i, n = 0;
    for (i = 0; i < GENAI__COUNT(genai__layer_kinds); i++)
        if (genai__word_is(p, end, genai__layer_kinds[i].name))
            return genai__syntax(net, p, "'%s' begins a layer of its own: '|' is missing before it", genai__layer_kinds[i].name), 0;
    for (i = 0; i < GENAI__COUNT(genai__layer_options); i++)
        if (strchr(l->kind->args, genai__layer_options[i].letter)) words[n++] = genai__layer_options[i].word;
    if (!n) return genai__syntax(net, p, "'%.*s' should not be here: the form is '%s'", genai__quoted(p, end), p, l->kind->usage), 0;
    return genai__syntax(net, p, "unknown word '%.*s', did you mean '%s'? (%s)", genai__quoted(p, end), p,
                         genai__nearest(p, (size_t)(end - p), words, n, sizeof *words), l->kind->usage), 0;
}

/* One word after the name (and the next, where the word takes a value). *seen has a bit for each letter of args. */
static const char *genai__parse_argument(const genai_net *net, genai__layer *l, const char *p, unsigned *seen) {
    const char *end = genai__word_end(p), *value, *slot;
    char        letter = 0;
    int         numeric = genai__is_digit(*p) || *p == '-' || *p == '.' || *p == '+', ok = 1;
    size_t      i;
    if (*l->kind->args == 'W') letter = 'W';
    else if (numeric) letter = strpbrk(l->kind->args, "NnFfD") ? *strpbrk(l->kind->args, "NnFfD") : (char)0;
    else if (genai__is_digit(p[1]) && strchr("kspo", *p)) letter = *p;
    else
        for (i = 0; i < GENAI__COUNT(genai__layer_options); i++)
            if (genai__word_is(p, end, genai__layer_options[i].word)) letter = genai__layer_options[i].letter;
    slot = letter ? strchr(l->kind->args, letter) : NULL;
    if (!slot) return genai__parse_unknown(net, l, p, end), GENAI__NULL;
    if (*seen >> (slot - l->kind->args) & 1)
        return genai__syntax(net, p, "'%.*s': this has been given before (%s)", genai__quoted(p, end), p, l->kind->usage), GENAI__NULL;
    *seen |= 1u << (slot - l->kind->args);
    value = genai__skip_space(end);
    switch (letter) {
        case 'N':
        case 'n': ok = genai__parse_dims(net, p, 1, 1, &l->n); break;
        case 'W':
            l->name = p;
            l->name_length = (int)(end - p);
            while (p < end && (genai__is_digit(*p) || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'))) p++;
            if (p != end) return genai__syntax(net, p, "'%.*s': a name has letters and digits only", genai__quoted(l->name, end), l->name), GENAI__NULL;
            break;
        case 'D': ok = l->words = genai__parse_dims(net, p, 3, 1, l->word); break;
        case 'F':
        case 'f': ok = genai__parse_float(net, p, l->kind->name, l->kind->low, l->kind->high, &l->number); break;
        case 'k': ok = genai__is_digit(p[1]) ? genai__parse_pair(net, p + 1, 1, l->k) : genai__parse_unknown(net, l, p, end); break;
        case 's': ok = genai__is_digit(p[1]) ? genai__parse_pair(net, p + 1, 1, l->stride) : genai__parse_unknown(net, l, p, end); break;
        case 'o': ok = genai__is_digit(p[1]) ? genai__parse_pair(net, p + 1, 0, l->extra) : genai__parse_unknown(net, l, p, end); break;
        case 'p':
            if (genai__is_digit(p[1])) ok = genai__parse_pair(net, p + 1, 0, l->pad);
            else if (*p == 'p') ok = genai__parse_unknown(net, l, p, end);
            else l->pad[0] = l->pad[1] = *p == 's' ? GENAI_SAME : 0;
            break;
        case 'b': l->bias = 0; break;
        case 'u': l->spectral = 1; break;
        case 'm': ok = genai__parse_float(net, value, "momentum", 0, 0.99999f, &l->momentum); end = genai__word_end(value); break;
        case 'e': ok = genai__parse_float(net, value, "eps", 1e-12f, 1, &l->eps); end = genai__word_end(value); break;
        default: /* i */
            end = genai__word_end(value);
            for (i = 0; i < GENAI__COUNT(genai__init_words) && !genai__word_is(value, end, genai__init_words[i]); i++) {}
            if (i == GENAI__COUNT(genai__init_words))
                return genai__syntax(net, value, "unknown init '%.*s', did you mean '%s'?", genai__quoted(value, end), value,
                                     genai__nearest(value, (size_t)(end - value), genai__init_words, i, sizeof *genai__init_words)), GENAI__NULL;
            l->init = (genai_init)(i + 1);
    }
    return ok ? end : NULL;
}

/* One layer at p (after white space); returns where it ends ('|' or 0), or NULL with the error set. */
static const char *genai__parse_layer(const genai_net *net, genai__layer *l, const char *p) {
    const char *end = genai__word_end(p), *slot;
    unsigned    seen = 0;
    if (p == end)
        return genai__syntax(net, p, net->text[strspn(net->text, " \t\r\n")] ? "a layer is missing here" : "the text is empty"), GENAI__NULL;
    for (size_t i = 0; i < GENAI__COUNT(genai__layer_kinds); i++)
        if (genai__word_is(p, end, genai__layer_kinds[i].name)) l->kind = &genai__layer_kinds[i];
    if (!l->kind)
        return genai__syntax(net, p, "unknown layer '%.*s', did you mean '%s'?", genai__quoted(p, end), p,
                             genai__nearest(p, (size_t)(end - p), genai__layer_kinds, GENAI__COUNT(genai__layer_kinds), sizeof *genai__layer_kinds)),
               GENAI__NULL;
    l->text = p;
    l->number = l->kind->standard;
    l->bias = l->kind->owns == GENAI__OWNS_WEIGHT;
    l->k[0] = l->k[1] = 3;
    if (l->kind->owns == GENAI__OWNS_WEIGHT) l->stride[0] = l->stride[1] = 1; /* pools: the window */
    l->pad[0] = l->pad[1] = GENAI_SAME;
    l->momentum = 0.9f;
    l->eps = 1e-5f;
    for (;;) {
        l->length = (int)(end - l->text);
        p = genai__skip_space(end);
        if (!*p || *p == '|') break;
        end = genai__parse_argument(net, l, p, &seen);
        if (!end) return NULL;
    }
    slot = strpbrk(l->kind->args, "NFDW");
    if (slot && !(seen >> (slot - l->kind->args) & 1))
        return genai__syntax(net, l->text, "'%s' needs a %s: %s", l->kind->name, *slot == 'W' ? "name" : "number", l->kind->usage), GENAI__NULL;
    return p;
}

/* --- building --- */
static GENAI__PRINTF(3, 4) genai_result genai__net_shape_error(const genai_net *net, int i, const char *format, ...) {
    const genai__layer *l = &net->layer[i];
    char                why[GENAI__WHY];
    GENAI__FORMAT(why, sizeof why, format);
    return genai__fail(net->ctx, GENAI_ERROR_SHAPE, "%s, layer %d (%.*s): %s", net->name, i, l->length > 80 ? 80 : l->length, l->text, why);
}

/* Finds what the layers keep and take: each name is what was last kept under it. */
static genai_result genai__net_names(genai_net *net) {
    genai__layer *l, *end = net->layer + net->layers, *k;
    for (l = net->layer; l < end; l++) {
        if (!l->name) continue;
        for (k = l->kind->shape == genai__shape_keep ? l : l - 1; k >= net->layer; k--)
            if (k->kind->shape == genai__shape_keep && k->name_length == l->name_length && !memcmp(k->name, l->name, (size_t)l->name_length)) break;
        if (k < net->layer) return genai__syntax(net, l->name, "nothing was kept as '%.*s' before this", genai__quoted(l->name, l->name + l->name_length), l->name);
        l->keep = k;
        if (k != l) k->last = l;
    }
    for (l = net->layer; l < end; l++) {
        const genai__layer *last = l->last ? l->last : l;
        if (l->keep == l && (last == l || last->kind->shape == genai__shape_swap))
            return genai__syntax(net, last->text, "what is kept as '%.*s' here is never used", genai__quoted(l->name, l->name + l->name_length), l->name);
    }
    return GENAI_OK;
}

static genai_result genai__net_parse(genai_net *net) {
    char        why[GENAI__WHY];
    const char *p = net->text;
    for (int i = 0; i < net->layers; i++, p++) {
        net->layer[i].index = i;
        p = genai__parse_layer(net, &net->layer[i], genai__skip_space(p));
        if (!p) return GENAI_ERROR_SYNTAX;
    }
    if (genai__net_names(net)) return GENAI_ERROR_SYNTAX;
    for (int i = 0; i < net->layers; i++) {
        genai__layer *l = &net->layer[i];
        size_t        count = 1;
        l->in_ndim = i ? net->layer[i - 1].ndim : net->ndim;
        memcpy(l->in, i ? net->layer[i - 1].dim : net->dim, sizeof l->in);
        l->classes = net->classes;
        l->spectral |= net->spectral && strchr(l->kind->args, 'u');
        if (!l->kind->shape(l, why)) return genai__net_shape_error(net, i, "%s", why);
        net->labelled |= l->labelled;
        for (int j = 0; j < l->ndim; j++)
            if (!genai__mul(count, (size_t)l->dim[j], &count) || count > GENAI__MAX_IMAGE)
                return genai__net_shape_error(net, i, "the output has more than %lu values for each image", (unsigned long)GENAI__MAX_IMAGE);
        for (int k = 0; k < 2 * GENAI__SLOTS; k++) {
            uint64_t weights = 1;
            for (int j = 0; j < l->own[k].ndim; j++) {
                weights *= (uint64_t)l->own[k].dim[j]; /* at most 2^33 times 2^28 */
                if (weights > GENAI__MAX_WEIGHTS) return genai__net_shape_error(net, i, "more than %llu weights", (unsigned long long)GENAI__MAX_WEIGHTS);
            }
        }
    }
    return GENAI_OK;
}

GENAI_API void genai_net_destroy(genai_net *net) {
    if (!net) return;
    for (int i = 0; net->ready && i < net->layers; i++) genai__free(net->ctx, net->ready[i].kept.data);
    const void *const own[] = {net->ready, net->folded, net->values, net->gradients, net->running, net->gradient,
                               net->tensor, net->names, net->layer, net->name, net->text};
    for (int i = 0; i < (int)GENAI__COUNT(own); i++) genai__free(net->ctx, own[i]);
    genai__free(net->ctx, net);
}

/* A tensor of one layer and its place in a block: called once to measure (the blocks are NULL) and once to fill in. */
typedef struct genai__net_layout {
    int    parameters, statistics;
    size_t size, running_size, count;
    int    fits;
} genai__net_layout;

static void genai__net_place(genai_net *net, genai__net_layout *at, int layer, int slot) {
    genai__layer       *l = &net->layer[layer];
    const genai__owned *own = &l->own[slot];
    int                 i, statistic = slot >= GENAI__SLOTS, index = statistic ? net->parameters + at->statistics : at->parameters;
    size_t              n = 1, *size = statistic ? &at->running_size : &at->size, from = *size, padded;
    for (i = 0; i < own->ndim; i++) at->fits = at->fits && genai__mul(n, (size_t)own->dim[i], &n);
    at->fits = at->fits && genai__add(n, 15, &padded) && genai__add(from, padded / 16 * 16, size);
    at->statistics += statistic;
    at->parameters += !statistic;
    if (!statistic) at->count += n;
    if (!net->tensor) return;
    genai_tensor *t = &net->tensor[index];
    size_t        room = strlen(net->name) + 48;
    char         *to = net->names + room * (size_t)index;
    genai__tensor_init(net->ctx, t, own->ndim, own->dim, (statistic ? net->running : net->values) + from);
    snprintf(to, room, "%s.%d.%s.%s%s", net->name, layer, l->kind->name, own->name, own->start == GENAI__VECTOR ? "_u" : "");
    t->name = to;
    if (statistic) l->running[slot - GENAI__SLOTS] = t;
    else {
        genai__tensor_init(net->ctx, &net->gradient[index], own->ndim, own->dim, net->gradients + from);
        net->gradient[index].name = to;
        t->grad = &net->gradient[index];
        t->requires_grad = 1;
        l->parameter[slot] = t;
    }
}

static genai__net_layout genai__net_layout_of(genai_net *net) {
    genai__net_layout at = {0, 0, 0, 0, 0, 1};
    for (int i = 0; i < net->layers; i++)
        for (int k = 0; k < 2 * GENAI__SLOTS; k++)
            if (net->layer[i].own[k].name) genai__net_place(net, &at, i, k);
    return at;
}

static genai_result genai__net_allocate(genai_net *net) {
    genai_ctx        *ctx = net->ctx;
    genai__net_layout at = genai__net_layout_of(net);
    size_t            tensors = (size_t)(at.parameters + at.statistics) + 1;
    if (!at.fits) return genai__fail(ctx, GENAI_ERROR_SHAPE, "%s: the sizes of all layers together overflow", net->name);
    net->parameters = at.parameters;
    net->statistics = at.statistics;
    net->size = at.size;
    net->running_size = at.running_size;
    net->count = at.count;
    net->tensor = (genai_tensor *)genai__alloc(ctx, tensors, sizeof *net->tensor);
    net->gradient = (genai_tensor *)genai__alloc(ctx, tensors, sizeof *net->gradient);
    net->names = (char *)genai__alloc(ctx, tensors, strlen(net->name) + 48);
    net->values = (float *)genai__alloc(ctx, at.size + 1, sizeof(float));
    net->gradients = (float *)genai__alloc(ctx, at.size + 1, sizeof(float));
    net->running = (float *)genai__alloc(ctx, at.running_size + 1, sizeof(float));
    if (!net->tensor || !net->gradient || !net->names || !net->values || !net->gradients || !net->running) return GENAI_ERROR_MEMORY;
    genai__net_layout_of(net);
    return GENAI_OK;
}

/* --- initial weights --- */
/* Orthonormal columns, or rows where there are fewer of them (Saxe et al. 2014): Gram-Schmidt, each vector twice so that
 * rounding doesn't accumulate, in double. Takes rows*columns*min(rows,columns) multiplications, so it is slow for large layers. */
static genai_result genai__init_orthogonal(genai_ctx *ctx, genai_tensor *w) {
    size_t  columns = (size_t)w->dim[w->ndim - 1], rows = w->count / columns, n = rows < columns ? rows : columns, length = w->count / n, i, j, k;
    size_t  across = rows < columns ? columns : 1, along = rows < columns ? 1 : columns; /* steps from vector to vector, value to value */
    double *q = (double *)genai__alloc(ctx, w->count, sizeof *q);
    if (!q) return GENAI_ERROR_MEMORY;
    for (i = 0; i < n; i++) {
        double *v = q + i * length, square = 0;
        for (k = 0; k < length; k++) v[k] = (double)w->data[i * across + k * along];
        for (int pass = 0; pass < 2; pass++)
            for (j = 0; j < i; j++) {
                const double *u = q + j * length;
                double        dot = 0;
                for (k = 0; k < length; k++) dot += u[k] * v[k];
                for (k = 0; k < length; k++) v[k] -= dot * u[k];
            }
        for (k = 0; k < length; k++) square += v[k] * v[k];
        for (k = 0; k < length; k++) {
            v[k] = square > 0 ? v[k] / sqrt(square) : 0;
            w->data[i * across + k * along] = (float)v[k];
        }
    }
    genai__free(ctx, q);
    return GENAI_OK;
}

/* The weight in a slot of layer i. He: variance gain^2 / fan-in, gain^2 = 2 / (1 + slope^2) (He et al. 2015, eqs. 10, 15), where
 * the fan-in of a transposed convolution is what reaches one output: a stride of s leaves 1/s of the kernel in each direction.
 * Glorot: uniform of variance 2 / (fan-in + fan-out) (Glorot and Bengio 2010, eq. 16). */
static genai_result genai__init_weight(genai_net *net, int i, int slot) {
    const genai__layer *l = &net->layer[i];
    genai_tensor       *w = l->parameter[slot];
    genai_init          init = l->init ? l->init : net->init;
    double              gain = 2, fan_in, fan_out, window = 1;
    uint32_t            draw = (uint32_t)(i + GENAI__MAX_LAYERS * slot);
    float               scale;
    int                 j;
    for (j = i + 1; j < net->layers && net->layer[j].kind->hint == GENAI__HINT_NONE; j++) {
        const genai__layer *swap = &net->layer[j];
        while (swap->kind->shape == genai__shape_swap && ++j < net->layers && net->layer[j].keep != swap->keep) {} /* on where it is taken */
    }
    if (j < net->layers && net->layer[j].kind->hint == GENAI__HINT_HE && l->kind->owns == GENAI__OWNS_WEIGHT) {
        if (!init) init = GENAI_INIT_HE;
        if (net->layer[j].kind->forward == genai__forward_leaky_relu) gain = 2 / (1 + (double)net->layer[j].number * (double)net->layer[j].number);
    } else if (!init) init = GENAI_INIT_GLOROT;
    if (w->ndim == 4) window = (double)l->k[0] * (double)l->k[1];
    fan_out = window * (double)l->own[slot].fan_out;
    fan_in = window * (double)l->own[slot].fan_in;
    if (init == GENAI_INIT_GLOROT) {
        genai__uniform(net->ctx, net->ctx->desc.seed, net->stream, 0, draw, w->count, w->data);
        scale = (float)sqrt(6 / (fan_in + fan_out));
        for (size_t k = 0; k < w->count; k++) w->data[k] = scale * (2 * w->data[k] - 1);
        return GENAI_OK;
    }
    genai__normal(net->ctx, net->ctx->desc.seed, net->stream, 0, draw, w->count, w->data);
    if (init == GENAI_INIT_ORTHOGONAL) return genai__init_orthogonal(net->ctx, w);
    if (l->kind->forward == genai__forward_convt) fan_in /= (double)l->stride[0] * (double)l->stride[1];
    scale = init == GENAI_INIT_NORMAL ? 0.02f : (float)sqrt(gain / (fan_in > 1 ? fan_in : 1));
    for (size_t k = 0; k < w->count; k++) w->data[k] *= scale;
    return GENAI_OK;
}

/* Where the whole net starts from normal(0, 0.02), the scales of batch norm start from normal(1, 0.02): this is how Radford et
 * al. 2016 trained DCGAN (their code; the paper omits it). */
static genai_result genai__net_init(genai_net *net) {
    for (int i = 0; i < net->layers; i++)
        for (int slot = 0; slot < 2 * GENAI__SLOTS; slot++) {
            const genai__layer *l = &net->layer[i];
            genai_tensor       *t = slot < GENAI__SLOTS ? l->parameter[slot] : l->running[slot - GENAI__SLOTS];
            int                 start = l->own[slot].start, normal = start == GENAI__NORMALS || start == GENAI__VECTOR;
            int                 drawn = normal || (start == GENAI__SCALES && net->init == GENAI_INIT_NORMAL);
            genai_result        result = t && start == GENAI__WEIGHTS ? genai__init_weight(net, i, slot) : GENAI_OK;
            if (result) return result;
            if (!t || start == GENAI__WEIGHTS) continue;
            if (drawn) genai__normal(net->ctx, net->ctx->desc.seed, net->stream, 0, (uint32_t)(i + GENAI__MAX_LAYERS * slot), t->count, t->data);
            for (size_t k = 0; k < t->count && !normal; k++)
                t->data[k] = start == GENAI__ZEROS ? 0 : drawn ? 1 + 0.02f * t->data[k] : 1;
        }
    return GENAI_OK;
}

static uint32_t genai__net_stream(const char *name) { /* FNV-1a */
    uint32_t h = 2166136261u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
    return h < GENAI__STREAM_INIT ? h + GENAI__STREAM_INIT : h;
}

static genai_result genai__net_check(genai_ctx *ctx, const genai_net_desc *desc, const char *name, int *layers) {
    const char *p;
    size_t      length, values = 1;
    if (!desc || !desc->text) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: there is no network text", name);
    length = strlen(desc->text);
    if (length > 65535 || strlen(name) > 100)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "network: the text has %lu characters (at most 65535), its name %lu (at most 100)",
                           (unsigned long)length, (unsigned long)strlen(name));
    for (*layers = 1, p = desc->text; *p; p++) *layers += *p == '|';
    if (*layers > GENAI__MAX_LAYERS)
        return genai__fail(ctx, GENAI_ERROR_SYNTAX, "network text of %s: %d layers, at most %d are possible", name, *layers, GENAI__MAX_LAYERS);
    if (desc->ndim != 1 && desc->ndim != 3)
        return genai__fail(ctx, GENAI_ERROR_SHAPE, "%s: an input has 1 dim (D) or 3 (H, W, C), not %d", name, desc->ndim);
    for (int i = 0; i < desc->ndim; i++)
        if (desc->dim[i] < 1 || !genai__mul(values, (size_t)desc->dim[i], &values) || values > GENAI__MAX_IMAGE)
            return genai__fail(ctx, GENAI_ERROR_SHAPE, "%s: dim %d of the input is %d; dims are at least 1, their product at most %lu", name, i,
                               desc->dim[i], (unsigned long)GENAI__MAX_IMAGE);
    if ((int)desc->init < 0 || desc->init > GENAI_INIT_ORTHOGONAL)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: there is no init number %d", name, (int)desc->init);
    if (desc->classes < 0 || desc->classes > GENAI__MAX_NUMBER)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: %d classes; 0 to %d are possible", name, desc->classes, GENAI__MAX_NUMBER);
    return GENAI_OK;
}

/* A net without parameters as yet, whose layers are known; to be destroyed also if it fails. */
static genai_result genai__net_read(genai_ctx *ctx, const genai_net_desc *desc, genai_net **to) {
    const char  *name = desc && desc->name ? desc->name : "net";
    int          layers = 0;
    genai_result result = genai__net_check(ctx, desc, name, &layers);
    if (result) return result;
    genai_net *net = *to = (genai_net *)genai__alloc(ctx, 1, sizeof *net);
    if (!net) return GENAI_ERROR_MEMORY;
    net->ctx = ctx;
    net->ndim = desc->ndim;
    memcpy(net->dim, desc->dim, sizeof net->dim);
    net->init = desc->init;
    net->classes = desc->classes;
    net->spectral = desc->spectral_norm != 0;
    net->stream = desc->stream ? desc->stream : genai__net_stream(name);
    net->layers = layers;
    net->trainable = 1;
    net->text = genai__copy_text(ctx, desc->text, strlen(desc->text));
    net->name = genai__copy_text(ctx, name, strlen(name));
    net->layer = (genai__layer *)genai__alloc(ctx, (size_t)layers, sizeof *net->layer);
    return net->text && net->name && net->layer ? genai__net_parse(net) : GENAI_ERROR_MEMORY;
}

GENAI_API genai_net *genai_net_create(genai_ctx *ctx, const genai_net_desc *desc) {
    genai_net *net = NULL;
    if (!ctx) return NULL;
    int      failed = genai__net_read(ctx, desc, &net) || genai__net_allocate(net);
    uint64_t mode = genai__fp_enter();
    failed = failed || genai__net_init(net);
    genai__fp_leave(mode);
    if (!failed) return net;
    genai_net_destroy(net);
    return NULL;
}

/* --- use --- */
/* Makes net->ready for what the parameters are now: batch norm's y = x scale + shift goes into the weights, when these are
 * packed, and into the bias. Whatever changes parameters or running statistics of a net, counts ctx->changes; no pointer to them is public. */
static genai_result genai__net_prepare(genai_net *net) {
    size_t n = 0, k;
    int    i, j;
    float *bias;
    if (net->ready && net->ready_at == net->ctx->changes) return GENAI_OK;
    for (i = 0; i < net->layers; i++) n += net->layer[i].kind->owns == GENAI__OWNS_WEIGHT ? (size_t)net->layer[i].n : 0;
    if (!net->ready) {
        net->folded = net->folded ? net->folded : (float *)genai__alloc(net->ctx, 2 * n + 1, sizeof(float));
        net->ready = net->folded ? (genai__ready *)genai__alloc(net->ctx, (size_t)net->layers, sizeof *net->ready) : NULL;
        if (!net->ready) return GENAI_ERROR_MEMORY;
    }
    for (i = 0, bias = net->folded; i < net->layers; i++) {
        const genai__layer *l = &net->layer[i], *norm;
        genai__ready       *r = &net->ready[i];
        float              *factor = bias + l->n, inverse = 1;
        if (l->kind->owns != GENAI__OWNS_WEIGHT) continue;
        r->weight = *l->parameter[0];
        r->weight.kept = &r->kept;
        r->kept.form = r->norm = 0;
        if (l->parameter[1]) r->bias = *l->parameter[1];
        for (j = i + 1; j < net->layers - 1 && net->layer[j].kind->forward == genai__forward_reshape; j++) {}
        norm = j < net->layers ? &net->layer[j] : l;
        if (norm->kind->forward == genai__forward_batch_norm && l->kind->forward != genai__forward_project && l->n % norm->own[0].dim[0] == 0) r->norm = j;
        if (!r->norm && !l->spectral) continue;
        r->kept.channels = (size_t)(r->norm ? norm->own[0].dim[0] : l->n);
        r->kept.scale = factor;
        if (l->spectral) {
            size_t        mark = genai_tape_mark(net->ctx);
            genai_tensor *sigma = genai__sigma(l, 0, GENAI_EVAL);
            if (sigma) inverse = genai__inverse(genai_value(sigma));
            genai_tape_release(net->ctx, mark);
            if (!sigma) {
                net->ready_at = net->ctx->changes - 1; /* the next call begins anew */
                return GENAI_ERROR_MEMORY;
            }
        }
        for (k = 0; k < (size_t)l->n; k++) {
            size_t c = k % r->kept.channels;
            float  f = r->norm ? norm->parameter[0]->data[c] * (1.0f / sqrtf(norm->running[1]->data[c] + norm->eps)) : 1;
            if (r->norm) bias[k] = norm->parameter[1]->data[c] - norm->running[0]->data[c] * f;
            if (r->norm && l->parameter[1]) bias[k] = bias[k] + l->parameter[1]->data[k] * f;
            factor[c] = f * inverse;
        }
        if (r->norm) genai__tensor_init(net->ctx, &r->bias, 1, &l->n, bias);
        bias += 2 * (size_t)l->n;
    }
    net->ready_at = net->ctx->changes;
    return GENAI_OK;
}

/* Runs layer *i, with `ready` instead of its parameters if that isn't NULL, and the activation after a batch norm with it, which *i then is. *over: what may be written over x: 0
 * nothing, 1 dropout, 2 activations too; then the same for the result, so far as that is the layer's own business. */
static genai_tensor *genai__net_layer(const genai_net *net, genai__ready *ready, int *i, int last, genai_tensor *x, genai__pass *pass, int *over) {
    const genai__layer      *l = &net->layer[*i];
    const genai__activation *a = genai__activation_of(l), *next = *i < last ? genai__activation_of(l + 1) : NULL;
    int                      may = *over;
    genai__layer             own;
    *over = a ? a->same_sign : l->kind->owns == GENAI__OWNS_WEIGHT || l->kind->owns == GENAI__OWNS_SCALE_AND_STATISTICS ? 2 : 0;
    if (ready && l->kind->owns == GENAI__OWNS_WEIGHT) {
        own = *l;
        own.parameter[0] = &ready[*i].weight;
        own.ready = 1;
        if (l->parameter[1] || ready[*i].norm) own.parameter[1] = &ready[*i].bias;
        return l->kind->forward(&own, x, pass);
    }
    if (a && may == 2) return genai__unary_apply(a->op, a->kernel, x, l->number, 0, x);
    if (l->kind->forward == genai__forward_dropout && may && pass->mode != GENAI_EVAL && l->number > 0) return genai__dropout(x, l->number, x);
    if (l->kind->forward == genai__forward_batch_norm && next) {
        ++*i;
        *over = next->same_sign;
        return genai__batch_norm(x, l->parameter, l->running, pass->mode, l->momentum, l->eps, next->kernel, l[1].number);
    }
    return l->kind->forward(l, x, pass);
}

/* x is what a layer with weights saw. If it is a batch norm's result, made at `start` or later, or a view of one, it goes: it
 * is cheap to make again when the weights need it. */
static void genai__net_let_go(genai_tensor *x, size_t start, const genai_tensor *features) {
    genai_tensor *from = x;
    while (from && from != features && !(from->flags & GENAI__KEPT) && from->op && from->op->view) from = from->in[0];
    if (!from || from == features || from->flags & GENAI__KEPT || from->op != &genai__op_batch_norm || from->at < start || !(from->flags & GENAI__HOLDS)) return;
    for (; x != from; x = x->in[0]) genai__drop(x);
    genai__drop(from);
}

static genai_tensor *genai__net_forward(genai_net *net, genai_tensor *x, const int *labels, genai_mode mode, int layer, genai_tensor **features) {
    char          want[40];
    int           i, fits, over = 0, use, skip = 0;
    genai_tensor *before, *t;
    genai__pass   pass = GENAI__ZEROED;
    if (features) *features = NULL;
    if (!net || !x) return NULL;
    if (features && (layer < 0 || layer >= net->layers))
        return genai__fail(net->ctx, GENAI_ERROR_ARGUMENT, "%s: features of layer %d, but there are layers 0 to %d", net->name, layer, net->layers - 1),
               GENAI__NULL;
    fits = x->ndim == net->ndim + 1;
    for (i = 0; i < net->ndim && fits; i++) fits = x->dim[i + 1] == net->dim[i];
    if (!fits)
        return genai__fail(net->ctx, GENAI_ERROR_SHAPE, "%s: takes [N] images or vectors of %s, but x has %d dims: %dx%dx%dx%d", net->name,
                           genai__dims_text(want, net->ndim, net->dim), x->ndim, x->dim[0], x->dim[1], x->dim[2], x->dim[3]), GENAI__NULL;
    pass.mode = mode;
    if (net->labelled && !labels)
        return genai__fail(net->ctx, GENAI_ERROR_ARGUMENT, "%s: takes labels (of %d classes), but there are none", net->name, net->classes), GENAI__NULL;
    if (net->labelled && !(pass.hot = genai__one_hot(net->ctx, net->name, labels, x->dim[0], net->classes))) return NULL;
    use = mode == GENAI_EVAL && !net->ctx->recording && !features;
    if (use && genai__net_prepare(net)) return NULL;
    before = net->ctx->last;
    size_t start = genai_tape_mark(net->ctx);
    for (i = 0; i < net->layers && x; i++) {
        if (skip && i == skip) continue; /* folded into the layer before it */
        if (use && net->ready[i].norm) skip = net->ready[i].norm;
        x = genai__net_layer(net, use ? net->ready : NULL, &i, features && i <= layer ? layer : net->layers - 1, x, &pass, &over);
        if (x && net->layer[i].kind->owns == GENAI__OWNS_WEIGHT) genai__net_let_go(x->in[0], start, features ? *features : NULL);
        if (features && i == layer) {
            *features = x;
            over = 0;
        }
        if (!net->ctx->recording) /* what layers passed on is needed no more */
            for (t = before ? before->next : net->ctx->first; t; t = t->next)
                if (t != x && !t->held && !(features && t == *features)) genai__drop(t);
    }
    for (i = 0; i < net->layers; i++)
        if (pass.kept[i]) pass.kept[i]->held--; /* it went wrong */
    return x;
}

GENAI_API genai_tensor *genai_net_forward_features(genai_net *net, genai_tensor *x, genai_mode mode, int layer, genai_tensor **features) {
    return genai__net_forward(net, x, NULL, mode, layer, features);
}
GENAI_API genai_tensor *genai_net_forward_labels(genai_net *net, genai_tensor *x, const int *labels, genai_mode mode) {
    return genai__net_forward(net, x, labels, mode, 0, NULL);
}
GENAI_API genai_tensor *genai_net_forward(genai_net *net, genai_tensor *x, genai_mode mode) { return genai__net_forward(net, x, NULL, mode, 0, NULL); }

GENAI_API int genai_net_trainable(genai_net *net, int on) {
    if (!net) return 0;
    int before = net->trainable;
    net->trainable = on != 0;
    for (int i = 0; i < net->parameters; i++) net->tensor[i].requires_grad = net->trainable;
    return before;
}

GENAI_API size_t genai_net_parameters(const genai_net *net) { return net ? net->count : 0; }
GENAI_API int    genai_net_layers(const genai_net *net) { return net ? net->layers : 0; }
GENAI_API int    genai_net_output(const genai_net *net, int dim[3]) {
    if (!net) return 0;
    const genai__layer *last = &net->layer[net->layers - 1];
    dim[0] = last->dim[0];
    dim[1] = last->ndim == 3 ? last->dim[1] : 1;
    dim[2] = last->ndim == 3 ? last->dim[2] : 1;
    return last->ndim;
}

typedef struct genai__table { /* snprintf at the end of what is there, counting what doesn't fit */
    char  *to;
    size_t size, length;
} genai__table;

static void genai__table_add(genai__table *t, const char *s, size_t n, int width) { /* padded with spaces to width */
    size_t i, wide = width > 0 && (size_t)width > n ? (size_t)width : n;
    for (i = 0; i < wide; i++, t->length++)
        if (t->length + 1 < t->size) t->to[t->length] = i < n ? s[i] : ' ';
    if (t->size) t->to[t->length < t->size ? t->length : t->size - 1] = 0;
}

/* The words of a layer with one space between them. */
static size_t genai__layer_words(const genai__layer *l, char *to, size_t size) {
    size_t n = 0;
    for (int i = 0; i < l->length && n + 1 < size; i++) {
        int space = genai__is_space(l->text[i]);
        if (!space || !genai__is_space(l->text[i - 1])) to[n++] = space ? ' ' : l->text[i];
    }
    to[n] = 0;
    return n;
}

GENAI_API size_t genai_net_describe(const genai_net *net, char *to, size_t size) {
    genai__table t = {to, size, 0};
    char         words[81], number[48], dims[40];
    int          i, width = 5, n;
    if (size) to[0] = 0;
    if (!net) return 0;
    for (i = 0; i < net->layers; i++) {
        n = (int)genai__layer_words(&net->layer[i], words, sizeof words);
        if (n > width) width = n;
    }
    for (i = -1; i <= net->layers; i++) {
        const genai__layer *l = i >= 0 && i < net->layers ? &net->layer[i] : NULL;
        size_t              count = 0, length;
        for (int j = 0; l && j < GENAI__SLOTS; j++) count += l->parameter[j] ? l->parameter[j]->count : 0;
        n = l ? snprintf(number, sizeof number, "%4d  ", i) : snprintf(number, sizeof number, "      ");
        genai__table_add(&t, number, (size_t)n, 0);
        length = l ? genai__layer_words(l, words, sizeof words) : (size_t)snprintf(words, sizeof words, "%s", i < 0 ? "input" : "total");
        genai__table_add(&t, words, length, width + 2);
        if (l) genai__dims_text(dims, l->ndim, l->dim);
        else if (i < 0) genai__dims_text(dims, net->ndim, net->dim);
        else dims[0] = 0;
        n = i < 0 ? snprintf(number, sizeof number, "%-16s\n", dims)
                  : snprintf(number, sizeof number, "%-16s%12lu\n", dims, (unsigned long)(l ? count : net->count));
        genai__table_add(&t, number, (size_t)n, 0);
    }
    return t.length;
}

typedef struct genai__lerp_job {
    const genai__kernels *kernels;
    float                *to, keep;
    const float          *from;
} genai__lerp_job;

static void genai__lerp_chunk(void *arg, size_t from, size_t count) {
    genai__lerp_job *job = (genai__lerp_job *)arg;
    if (job->keep > 0) job->kernels->lerp(count, job->to + from, job->from + from, job->keep);
    else memcpy(job->to + from, job->from + from, count * sizeof(float));
}

static void genai__lerp(genai_ctx *ctx, size_t n, float *to, const float *from, float keep) { /* to = keep*to + (1-keep)*from */
    genai__lerp_job job = {ctx->kernels, to, keep, from};
    genai__for_chunks(ctx, n, genai__lerp_chunk, &job);
}

/* Without `statistics`, means and variances stay. */
static genai_result genai__net_average(genai_net *target, const genai_net *source, float decay, int statistics) {
    if (!target || !source) return GENAI_ERROR_ARGUMENT;
    if (!genai__in_range(decay, 0, 1)) return genai__fail(target->ctx, GENAI_ERROR_ARGUMENT, "genai_net_average: decay must be from 0 to 1");
    if (strcmp(target->text, source->text) || target->ndim != source->ndim || memcmp(target->dim, source->dim, (size_t)target->ndim * sizeof(int)) ||
        target->classes != source->classes || target->spectral != source->spectral)
        return genai__fail(target->ctx, GENAI_ERROR_SHAPE, "genai_net_average: %s and %s have different texts, inputs, classes or spectral norms",
                           target->name, source->name);
    uint64_t mode = genai__fp_enter();
    target->ctx->changes++;
    genai__trace(target->ctx, "average", 0, 0, 0);
    genai__lerp(target->ctx, target->size, target->values, source->values, decay);
    if (statistics) genai__lerp(target->ctx, target->running_size, target->running, source->running, decay);
    for (int i = 0; i < target->layers && !statistics; i++) /* sn's vectors */
        for (int k = 0; k < GENAI__SLOTS && target->layer[i].kind->owns != GENAI__OWNS_SCALE_AND_STATISTICS; k++) {
            genai_tensor *to = target->layer[i].running[k];
            if (to) genai__lerp(target->ctx, to->count, to->data, source->layer[i].running[k]->data, decay);
        }
    genai__trace(target->ctx, "average", 0, 1, 3.0 * (double)(target->size + target->running_size) * sizeof(float));
    genai__fp_leave(mode);
    return GENAI_OK;
}
GENAI_API genai_result genai_net_average(genai_net *target, const genai_net *source, float decay) { return genai__net_average(target, source, decay, 1); }

GENAI_API genai_result genai_optimizer_add(genai_optimizer *o, genai_net *net, float lr_scale) {
    if (!o) return GENAI_ERROR_ARGUMENT;
    if (!net) return o->ctx->result ? o->ctx->result : genai__fail(o->ctx, GENAI_ERROR_ARGUMENT, "optimizer: the net is NULL");
    if (net->ctx != o->ctx) return genai__fail(o->ctx, GENAI_ERROR_ARGUMENT, "optimizer: %s belongs to another context", net->name);
    return genai__optimizer_add(o, net->values, net->gradients, net->size, net->tensor, net->parameters, lr_scale);
}

/* For files: parameters, then running statistics, by name. */
static int           genai__net_tensor_count(const genai_net *net) { return net->parameters + net->statistics; }
static genai_tensor *genai__net_tensor(genai_net *net, int i) { return &net->tensor[i]; }

/* ====================================================================================================================
 * >>files (private)
 * Every file goes through ctx->desc.io; the operating system is one such table. A file is written as PATH.tmp, synced and
 * renamed, so that PATH is the old one or the new one at any moment. Models are safetensors: 8 bytes N (little-endian), N
 * bytes of JSON, the tensors. Everything read is hostile until checked: no size out of a file reaches a bare * or +.
 * ================================================================================================================= */

/* --- operating system --- */
#if defined(GENAI_NO_STDIO)
static void *genai__os_open(void *user, const char *path, int write) { (void)user; (void)path; (void)write; return NULL; }
static long  genai__os_read(void *user, void *file, void *to, size_t n) { (void)user; (void)file; (void)to; (void)n; return -1; }
static long  genai__os_write(void *user, void *file, const void *p, size_t n) { (void)user; (void)file; (void)p; (void)n; return -1; }
static int   genai__os_append(void *user, void *file) { (void)user; (void)file; return -1; }
static int   genai__os_sync(void *user, void *file) { (void)user; (void)file; return -1; }
static int   genai__os_close(void *user, void *file) { (void)user; (void)file; return -1; }
static int   genai__os_rename(void *user, const char *from, const char *to) { (void)user; (void)from; (void)to; return -1; }
static int   genai__os_remove(void *user, const char *path) { (void)user; (void)path; return -1; }
static int   genai__os_make_dir(void *user, const char *path) { (void)user; (void)path; return -1; }
static int   genai__os_list(void *user, const char *path, void (*entry)(void *, const char *, int), void *to) {
    (void)user; (void)path; (void)entry; (void)to;
    return -1;
}
#elif GENAI__WINDOWS
#ifdef __cplusplus
extern "C"
#endif
__declspec(dllimport) int __stdcall MoveFileExA(const char *, const char *, unsigned long); /* as windows.h has it */

static void *genai__os_open(void *user, const char *path, int write) { (void)user; return fopen(path, write == 2 ? "ab" : write ? "wb" : "rb"); }
static long genai__os_read(void *user, void *file, void *to, size_t n) {
    size_t got = fread(to, 1, n > (1u << 30) ? 1u << 30 : n, (FILE *)file);
    (void)user;
    return !got && ferror((FILE *)file) ? -1 : (long)got;
}
static long genai__os_write(void *user, void *file, const void *p, size_t n) {
    size_t put = fwrite(p, 1, n > (1u << 30) ? 1u << 30 : n, (FILE *)file);
    (void)user;
    return put ? (long)put : -1;
}
static int genai__os_append(void *user, void *file) { (void)user; return fseek((FILE *)file, 0, SEEK_END); }
static int genai__os_sync(void *user, void *file) { (void)user; return fflush((FILE *)file) || _commit(_fileno((FILE *)file)); }
static int genai__os_close(void *user, void *file) { (void)user; return fclose((FILE *)file); }
static int genai__os_rename(void *user, const char *from, const char *to) { /* replace existing, write through */
    (void)user;
    return !MoveFileExA(from, to, 1 | 8);
}
static int genai__os_remove(void *user, const char *path) { (void)user; return remove(path); }
static int genai__os_make_dir(void *user, const char *path) { (void)user; return _mkdir(path) && errno != EEXIST; }
static int genai__os_list(void *user, const char *path, void (*entry)(void *, const char *, int), void *to) {
    char               pattern[1024];
    struct _finddata_t found;
    intptr_t           handle;
    (void)user;
    if (strlen(path) + 3 > sizeof pattern) return -1;
    strcat(strcpy(pattern, path), "/*");
    handle = _findfirst(pattern, &found);
    if (handle == -1) return -1;
    do
        if (strcmp(found.name, ".") && strcmp(found.name, "..")) entry(to, found.name, (found.attrib & _A_SUBDIR) != 0);
    while (!_findnext(handle, &found));
    return _findclose(handle);
}
#else
#ifndef __cplusplus
extern int fsync(int fd); /* hidden by glibc under a strict -std=c99 */
#endif

/* A file is its descriptor + 1 as a pointer. Calls that a signal interrupted are made again. */
static void *genai__os_open(void *user, const char *path, int write) {
    int fd, flags = write == 2 ? O_WRONLY | O_CREAT | O_APPEND : write ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY;
    (void)user;
#ifdef O_CLOEXEC
    flags |= O_CLOEXEC;
#endif
    do fd = open(path, flags, 0666);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? NULL : (void *)((intptr_t)fd + 1);
}
static int  genai__os_descriptor(void *file) { return (int)((intptr_t)file - 1); }
static long genai__os_read(void *user, void *file, void *to, size_t n) {
    long got;
    (void)user;
    do got = (long)read(genai__os_descriptor(file), to, n > (1u << 30) ? 1u << 30 : n);
    while (got < 0 && errno == EINTR);
    return got;
}
static long genai__os_write(void *user, void *file, const void *p, size_t n) {
    long put;
    (void)user;
    do put = (long)write(genai__os_descriptor(file), p, n > (1u << 30) ? 1u << 30 : n);
    while (put < 0 && errno == EINTR);
    return put;
}
static int genai__os_append(void *user, void *file) { (void)user; (void)file; return 0; } /* O_APPEND does it */
static int genai__os_sync(void *user, void *file) {
    int failed;
    (void)user;
    do failed = fsync(genai__os_descriptor(file));
    while (failed && errno == EINTR);
    return failed && errno != EINVAL; /* EINVAL: not a thing that can be synced */
}
/* Interrupted: it is closed all the same. */
static int genai__os_close(void *user, void *file) { (void)user; return close(genai__os_descriptor(file)) && errno != EINTR; }
/* rename is atomic but lasts only once the folder is synced. The new file takes the old one's permissions; what isn't a plain file (/dev/full) is never replaced. */
static int genai__os_rename(void *user, const char *from, const char *to) {
    struct stat before, now;
    char        folder[4096];
    const char *slash = strrchr(to, '/');
    size_t      n = slash ? (size_t)(slash - to) : 0;
    void       *file;
    int         failed;
    if (!stat(to, &before)) {
        if (!S_ISREG(before.st_mode)) {
            errno = S_ISDIR(before.st_mode) ? EISDIR : EINVAL;
            return -1;
        }
        if (stat(from, &now)) return -1;
        if (((before.st_mode ^ now.st_mode) & 0777) && chmod(from, before.st_mode & 0777)) return -1;
    }
    if (rename(from, to)) return -1;
    if (n >= sizeof folder) return 0;
    memcpy(folder, to, n);
    folder[n] = 0;
    file = genai__os_open(user, n ? folder : slash ? "/" : ".", 0);
    if (!file) return 0; /* a folder one may write to but not read can't be synced */
    failed = genai__os_sync(user, file) && errno == EIO;
    genai__os_close(user, file);
    return failed;
}
static int genai__os_remove(void *user, const char *path) { (void)user; return unlink(path); }
static int genai__os_make_dir(void *user, const char *path) {
    struct stat now;
    (void)user;
    return mkdir(path, 0777) && !(errno == EEXIST && !stat(path, &now) && S_ISDIR(now.st_mode));
}
/* Files and folders, links followed; pipes and devices are left out, since opening them may wait for ever. */
static int genai__os_list(void *user, const char *path, void (*entry)(void *, const char *, int), void *to) {
    char           name[4096];
    struct stat    now;
    struct dirent *found;
    size_t         n = strlen(path);
    int            failed;
    DIR           *folder = opendir(path);
    (void)user;
    if (!folder) return -1;
    for (errno = 0; (found = readdir(folder)) != NULL; errno = 0) {
        size_t length = strlen(found->d_name);
        if (!strcmp(found->d_name, ".") || !strcmp(found->d_name, "..")) continue;
        if (n + length + 2 <= sizeof name) {
            memcpy(name, path, n);
            name[n] = '/';
            memcpy(name + n + 1, found->d_name, length + 1);
        } else name[0] = 0;
        if (stat(name, &now)) entry(to, found->d_name, 0); /* opening it will say why */
        else if (S_ISDIR(now.st_mode) || S_ISREG(now.st_mode)) entry(to, found->d_name, S_ISDIR(now.st_mode) != 0);
    }
    failed = errno;
    closedir(folder);
    errno = failed;
    return failed != 0;
}
#endif

static genai_io genai__default_io(void) {
    genai_io io = {genai__os_open,   genai__os_read,   genai__os_write,    genai__os_append, genai__os_sync, genai__os_close,
                   genai__os_rename, genai__os_remove, genai__os_make_dir, genai__os_list,   NULL};
    return io;
}

/* --- whole files --- */
typedef struct genai__bytes {
    unsigned char *p; /* freed by genai__free */
    size_t         n;
} genai__bytes;

static genai_result genai__io_fail(genai_ctx *ctx, const char *path, const char *stage) {
    return genai__fail(ctx, GENAI_ERROR_IO, "%s: %s (%s)", path, stage, errno ? strerror(errno) : "no reason was given");
}
static void         genai__no_entry(void *to, const char *name, int is_dir) { (void)to; (void)name; (void)is_dir; }
static genai_result genai__read_fail(genai_ctx *ctx, const char *path, const char *stage) {
    int reason = errno;
    if (!ctx->desc.io.list(ctx->desc.io.user, path, genai__no_entry, NULL))
        return genai__fail(ctx, GENAI_ERROR_IO, "%s: is a folder, but a file is wanted here", path);
    errno = reason;
    return genai__io_fail(ctx, path, stage);
}

static genai_result genai__file_open(genai_ctx *ctx, const char *path, void **file) {
    if (!path) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "a file is to be read, but its path is NULL");
    errno = 0;
    *file = ctx->desc.io.open(ctx->desc.io.user, path, 0);
    return *file ? GENAI_OK : genai__read_fail(ctx, path, "could not be opened for reading");
}

/* Adds to `out` until it holds `limit` bytes or the file ends. Memory grows with what has arrived, so that a promised size alone costs nothing. */
static genai_result genai__file_read(genai_ctx *ctx, const char *path, void *file, size_t limit, genai__bytes *out) {
    size_t capacity = 0;
    while (out->n < limit) {
        if (out->n == capacity) {
            capacity = capacity ? (capacity > limit / 2 ? limit : capacity * 2) : limit < 65536 ? limit : 65536;
            unsigned char *larger = (unsigned char *)genai__grow(ctx, out->p, capacity, 1);
            if (!larger) return GENAI_ERROR_MEMORY;
            out->p = larger;
        }
        size_t room = capacity - out->n;
        if (room > (1u << 30)) room = 1u << 30;
        long got = ctx->desc.io.read(ctx->desc.io.user, file, out->p + out->n, room);
        if (got < 0 || (size_t)got > room) return genai__read_fail(ctx, path, "could not be read");
        if (!got) break;
        out->n += (size_t)got;
    }
    return GENAI_OK;
}

static genai_result genai__read_file(genai_ctx *ctx, const char *path, genai__bytes *out) {
    void *file;
    memset(out, 0, sizeof *out);
    GENAI__TRY(genai__file_open(ctx, path, &file));
    genai_result result = genai__file_read(ctx, path, file, (size_t)-1, out);
    ctx->desc.io.close(ctx->desc.io.user, file);
    if (result) {
        genai__free(ctx, out->p);
        memset(out, 0, sizeof *out);
    }
    return result;
}

typedef struct genai__save { /* a file on its way to the disk; `result` sticks, so that one check at the end is enough */
    genai_ctx   *ctx;
    const char  *path;
    char        *temporary;
    void        *file;
    genai_result result;
} genai__save;

static genai__save genai__save_begin(genai_ctx *ctx, const char *path) {
    genai__save s = {ctx, path, NULL, NULL, GENAI_OK};
    s.temporary = path ? (char *)genai__alloc(ctx, strlen(path) + 5, 1) : NULL;
    if (!path) s.result = genai__fail(ctx, GENAI_ERROR_ARGUMENT, "a file is to be written, but its path is NULL");
    else if (!s.temporary) s.result = GENAI_ERROR_MEMORY;
    if (s.result) return s;
    strcat(strcpy(s.temporary, path), ".tmp");
    errno = 0;
    s.file = ctx->desc.io.open(ctx->desc.io.user, s.temporary, 1);
    if (!s.file) s.result = genai__io_fail(ctx, s.temporary, "could not be created");
    return s;
}

static void genai__save_put(genai__save *s, const void *from, size_t n) {
    const unsigned char *p = (const unsigned char *)from;
    while (n && !s->result) {
        size_t part = n < (1u << 30) ? n : 1u << 30;
        long   put = s->ctx->desc.io.write(s->ctx->desc.io.user, s->file, p, part);
        if (put <= 0 || (size_t)put > part) s->result = genai__io_fail(s->ctx, s->path, "could not be written");
        else {
            p += put;
            n -= (size_t)put;
        }
    }
}

static genai_result genai__save_end(genai__save *s) {
    const genai_io *io = &s->ctx->desc.io;
    if (s->file) {
        if (!s->result && io->sync(io->user, s->file))
            s->result = genai__io_fail(s->ctx, s->path, "could not be synced to the disk");
        if (io->close(io->user, s->file) && !s->result) s->result = genai__io_fail(s->ctx, s->path, "could not be closed");
        if (!s->result && io->rename(io->user, s->temporary, s->path))
            s->result = genai__io_fail(s->ctx, s->path, "the finished .tmp file could not be renamed to it");
        if (s->result) io->remove(io->user, s->temporary);
    }
    genai__free(s->ctx, s->temporary);
    return s->result;
}

static genai_result genai__write_file(genai_ctx *ctx, const char *path, const void *p, size_t n) {
    genai__save save = genai__save_begin(ctx, path);
    genai__save_put(&save, p, n);
    return genai__save_end(&save);
}

/* Not atomic and not synced: for logs, where a row more or less is no loss. */
static genai_result genai__append_file(genai_ctx *ctx, const char *path, const void *p, size_t n) {
    const genai_io *io = &ctx->desc.io;
    genai__save     save = {ctx, path, NULL, NULL, GENAI_OK};
    if (!path) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "a file is to be written, but its path is NULL");
    errno = 0;
    save.file = io->open(io->user, path, 2);
    if (!save.file) return genai__io_fail(ctx, path, "could not be opened for appending");
    if (io->append(io->user, save.file)) save.result = genai__io_fail(ctx, path, "its end could not be found");
    genai__save_put(&save, p, n);
    if (io->close(io->user, save.file) && !save.result) save.result = genai__io_fail(ctx, path, "could not be closed");
    return save.result;
}

/* --- sorting --- */
static void genai__swap(unsigned char *a, unsigned char *b, size_t size) {
    for (; size; size--, a++, b++) {
        unsigned char t = *a;
        *a = *b;
        *b = t;
    }
}

/* Heap sort: n log n for any input, no memory, unlike qsort. */
static void genai__sort(void *base, size_t n, size_t size, int (*compare)(const void *a, const void *b)) {
    unsigned char *a = (unsigned char *)base;
    size_t         start = n / 2, end = n, child;
    while (end > 1) {
        if (start) start--;
        else genai__swap(a, a + --end * size, size);
        for (size_t root = start; (child = 2 * root + 1) < end; root = child) {
            if (child + 1 < end && compare(a + child * size, a + (child + 1) * size) < 0) child++;
            if (compare(a + root * size, a + child * size) >= 0) break;
            genai__swap(a + root * size, a + child * size, size);
        }
    }
}

/* For structs whose first field is a name, and for plain arrays of names. */
static int genai__by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}
static const void *genai__find_name(const void *base, size_t n, size_t size, const char *name) { /* in sorted ones */
    const unsigned char *a = (const unsigned char *)base;
    while (n) {
        size_t half = n / 2;
        int    order = genai__by_name(&name, a + half * size);
        if (!order) return a + half * size;
        if (order > 0) {
            a += (half + 1) * size;
            n -= half + 1;
        } else n = half;
    }
    return NULL;
}
static const char *genai__repeated_name(const void *base, size_t n, size_t size) { /* in sorted ones; NULL: none */
    const unsigned char *a = (const unsigned char *)base;
    for (; n > 1; n--, a += size)
        if (!genai__by_name(a, a + size)) return *(const char *const *)(const void *)a;
    return NULL;
}

/* --- JSON --- */
/* A scanner, not a parser: the caller asks for what its grammar has next, so depth and memory are bounded by the caller. */
typedef struct genai__json {
    genai_ctx     *ctx;
    const char    *path;
    unsigned char *start, *p, *end;
    genai_result   result;
} genai__json;

/* Well-formed UTF-8 (RFC 3629: shortest form, no surrogates, up to U+10FFFF). */
static int genai__utf8(const unsigned char *p, size_t n) {
    while (n) {
        size_t   more = p[0] < 0x80 ? 0 : p[0] < 0xc2 ? 4 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : p[0] < 0xf5 ? 3 : 4, i;
        unsigned low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80, high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
        if (more >= n || more == 4) return 0;
        for (i = 1; i <= more; i++, low = 0x80, high = 0xbf)
            if (p[i] < low || p[i] > high) return 0;
        p += more + 1;
        n -= more + 1;
    }
    return 1;
}

typedef struct genai__shown { char text[64]; } genai__shown;
static genai__shown genai__show(const char *name) { /* a name out of a file, fit for a terminal: short, no control characters */
    genai__shown s;
    size_t       i;
    for (i = 0; name[i] && i < sizeof s.text - 1; i++)
        s.text[i] = (unsigned char)name[i] < 0x20 || name[i] == 0x7f || (unsigned char)name[i] >= 0x80 ? '?' : name[i];
    s.text[i] = 0;
    if (name[i]) memcpy(s.text + i - 3, "...", 3);
    return s;
}

static int genai__json_fail(genai__json *j, const char *expected) {
    j->result = genai__fail(j->ctx, GENAI_ERROR_FORMAT, "%s: damaged: %s expected at byte %zu of its header", j->path, expected,
                            (size_t)(j->p - j->start));
    return 0;
}
static void genai__json_space(genai__json *j) {
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t')) j->p++;
}
static int genai__json_take(genai__json *j, char c) { /* c, if that comes next */
    genai__json_space(j);
    if (j->p == j->end || *j->p != (unsigned char)c) return 0;
    j->p++;
    return 1;
}
static int genai__json_want(genai__json *j, char c) {
    char quoted[4] = "' '";
    quoted[1] = c;
    return genai__json_take(j, c) || genai__json_fail(j, quoted);
}
/* Before element `index` of what `close` ends: 1 there is one, 0 it is closed or wrong (then j->result is set). */
static int genai__json_more(genai__json *j, size_t index, char close) {
    if (genai__json_take(j, close)) return 0;
    return !index || genai__json_want(j, ',');
}

static int genai__json_integer(genai__json *j, uint64_t *x) { /* no sign, fraction, exponent or leading zero */
    genai__json_space(j);
    unsigned char *first = j->p;
    for (*x = 0; j->p < j->end && *j->p >= '0' && *j->p <= '9'; j->p++) {
        unsigned digit = (unsigned)(*j->p - '0');
        if (j->p > first && *first == '0') return genai__json_fail(j, "a number without leading zeros");
        if (*x > (UINT64_MAX - digit) / 10) return genai__json_fail(j, "a number below 2^64");
        *x = *x * 10 + digit;
    }
    return j->p > first || genai__json_fail(j, "a whole number");
}

static int genai__json_hex4(genai__json *j, unsigned *x) {
    int i;
    for (*x = 0, i = 0; i < 4; i++, j->p++) {
        unsigned c = j->p < j->end ? *j->p : 0u;
        if (c >= '0' && c <= '9') c -= '0';
        else if ((c | 32) >= 'a' && (c | 32) <= 'f') c = (c | 32) - 'a' + 10;
        else return genai__json_fail(j, "four hexadecimal digits after \\u");
        *x = *x << 4 | c;
    }
    return 1;
}

/* The character after a backslash, as UTF-8 in utf[4]; its length, 0 if wrong. */
static int genai__json_escape(genai__json *j, unsigned char *utf) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    unsigned          c = j->p < j->end ? *j->p++ : 0u, low;
    const char       *known = c ? strchr(from, (int)c) : NULL;
    if (known) {
        utf[0] = (unsigned char)to[known - from];
        return 1;
    }
    if (c != 'u') return genai__json_fail(j, "a known escape");
    if (!genai__json_hex4(j, &c)) return 0;
    if (!c) return genai__json_fail(j, "a character other than \\u0000");
    if (c >= 0xdc00 && c < 0xe000) return genai__json_fail(j, "the first half of a surrogate pair");
    if (c >= 0xd800 && c < 0xdc00) {
        if (j->end - j->p < 2 || j->p[0] != '\\' || j->p[1] != 'u') return genai__json_fail(j, "the second half of a surrogate pair");
        j->p += 2;
        if (!genai__json_hex4(j, &low)) return 0;
        if (low < 0xdc00 || low >= 0xe000) return genai__json_fail(j, "the second half of a surrogate pair");
        c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
    }
    int length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, c >>= 6) utf[i] = (unsigned char)(0x80 | (c & 63));
    utf[0] = (unsigned char)(length > 1 ? 0xf00u >> length | c : c); /* as many leading ones as bytes */
    return length;
}

/* Decodes a string into to[size], what doesn't fit being dropped, or in place if to is NULL (an escape is never shorter
 * than what it means). Ended by 0; NULL if wrong. */
static char *genai__json_string(genai__json *j, char *to, size_t size) {
    size_t        n = 0;
    unsigned char utf[4];
    if (!genai__json_take(j, '"')) return genai__json_fail(j, "a string"), (char *)NULL;
    if (!to) {
        to = (char *)j->p;
        size = (size_t)(j->end - j->p);
    }
    for (;;) {
        int length = 1, i;
        if (j->p == j->end || *j->p < 0x20) return genai__json_fail(j, "the end of the string"), (char *)NULL;
        utf[0] = *j->p++;
        if (utf[0] == '"') break;
        if (utf[0] == '\\') length = genai__json_escape(j, utf);
        if (!length) return NULL;
        for (i = 0; i < length; i++)
            if (n + 1 < size) to[n++] = (char)utf[i];
    }
    to[n] = 0;
    return to;
}

static void genai__json_put(genai__text *t, const char *s) { /* s as a JSON string */
    genai__text_add(t, "\"");
    while (*s) {
        size_t n = 0;
        while ((unsigned char)s[n] >= 0x20 && s[n] != '"' && s[n] != '\\') n++;
        genai__text_bytes(t, s, n);
        s += n;
        if (!*s) break;
        if ((unsigned char)*s < 0x20) genai__text_format(t, "\\u%04x", (unsigned)(unsigned char)*s);
        else genai__text_format(t, "\\%c", *s);
        s++;
    }
    genai__text_add(t, "\"");
}

/* --- checksum --- */
/* CRC-64/XZ (polynomial of ECMA-182, reflected): any changed bit and any burst of up to 64 bits is noticed. Four tables, so that four bytes go in at once. */
typedef struct genai__crc64 { uint64_t value, table[4][256]; } genai__crc64;

static void genai__crc64_begin(genai__crc64 *crc) {
    for (int i = 0; i < 256; i++) {
        uint64_t c = (uint64_t)i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xC96C5795D7870F42u : c >> 1;
        crc->table[0][i] = c;
    }
    for (int k = 1; k < 4; k++)
        for (int i = 0; i < 256; i++) crc->table[k][i] = crc->table[k - 1][i] >> 8 ^ crc->table[0][crc->table[k - 1][i] & 255];
    crc->value = ~(uint64_t)0;
}
static void genai__crc64_add(genai__crc64 *crc, const unsigned char *p, size_t n) {
    uint64_t c = crc->value;
    for (; n >= 4; n -= 4, p += 4)
        c = c >> 32 ^ crc->table[3][(c ^ p[0]) & 255] ^ crc->table[2][(c >> 8 ^ p[1]) & 255] ^
            crc->table[1][(c >> 16 ^ p[2]) & 255] ^ crc->table[0][(c >> 24 ^ p[3]) & 255];
    for (; n; n--) c = c >> 8 ^ crc->table[0][(c ^ *p++) & 255];
    crc->value = c;
}
static void genai__crc64_digits(const genai__crc64 *crc, char *to) { /* 16 digits, no end */
    for (int i = 0; i < 16; i++) to[i] = "0123456789abcdef"[~crc->value >> (60 - 4 * i) & 15];
}

/* --- safetensors --- */
/* huggingface/safetensors, README "Format" and tensor.rs; only F32 is taken. Stricter than the reference: no repeated or
 * unknown keys, no \u0000, at most 8 dims, a header of at most 16 MB. Our own files carry two keys more: "genai.format", and
 * "genai.digest", the CRC of the whole file with 0 for its own 16 digits. A file with genai.* keys must have a digest, else a
 * bit flipped in that very key would hide; "none" in place of the digits says that somebody changed the file on purpose. */
#define GENAI__HEADER_MAX ((size_t)16 << 20)
#define GENAI__HEADER_START "{\"__metadata__\":{\"genai.digest\":\"" /* then the digits, then the rest of our keys */
#define GENAI__HEADER_REST "\",\"genai.format\":\"1\""

typedef struct genai__entry {
    const char *name;
    int         ndim, dim[4]; /* unused dims are 1; a dim of 0 is allowed */
    float      *data;
    size_t      count;
} genai__entry;
typedef struct genai__pair { const char *key, *value; } genai__pair;
typedef struct genai__safetensors { /* entries and metadata are sorted by name */
    size_t         n, pairs;
    genai__entry  *entries;
    genai__pair   *metadata;
    unsigned char *header, *data; /* what they point into */
} genai__safetensors;

typedef struct genai__span { genai__entry entry; uint64_t begin, end; int dtype; } genai__span;
typedef struct genai__header {
    genai__json    json;
    size_t         n, pairs;       /* counted, or filled so far                       */
    genai__span   *span;           /* NULL while counting                             */
    genai__pair   *pair;
    unsigned char *digest;         /* its 16 digits in the header; NULL: none to check */
    int            ours, stamped;  /* has genai.* keys; has genai.digest              */
} genai__header;

static void genai__safetensors_free(genai_ctx *ctx, genai__safetensors *file) {
    genai__free(ctx, file->entries);
    genai__free(ctx, file->metadata);
    genai__free(ctx, file->header);
    genai__free(ctx, file->data);
    memset(file, 0, sizeof *file);
}
static const genai__entry *genai__safetensors_find(const genai__safetensors *file, const char *name) {
    return (const genai__entry *)genai__find_name(file->entries, file->n, sizeof(genai__entry), name);
}
static const char *genai__safetensors_get(const genai__safetensors *file, const char *key) {
    const genai__pair *pair = (const genai__pair *)genai__find_name(file->metadata, file->pairs, sizeof(genai__pair), key);
    return pair ? pair->value : NULL;
}

static const struct { const char *name; size_t bits; } genai__dtypes[] = {
    {"F32", 32}, {"BOOL", 8}, {"F4", 4}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8}, {"I8", 8}, {"F8_E5M2", 8}, {"F8_E4M3", 8},
    {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16}, {"U16", 16}, {"F16", 16}, {"BF16", 16}, {"I32", 32},
    {"U32", 32}, {"C64", 64}, {"F64", 64}, {"I64", 64}, {"U64", 64}};

static int genai__header_shape(genai__header *h, const char *name, genai__entry *entry) {
    genai__json *j = &h->json;
    uint64_t     dim;
    if (!genai__json_want(j, '[')) return 0;
    for (entry->ndim = 0, entry->count = 1; genai__json_more(j, (size_t)entry->ndim, ']'); entry->ndim++) {
        if (entry->ndim == 8) return genai__json_fail(j, "a shape of at most 8 dims");
        if (!genai__json_integer(j, &dim)) return 0;
        if (dim > (size_t)-1 || !genai__mul(entry->count, (size_t)dim, &entry->count) || dim > INT32_MAX)
            return j->result = genai__fail(j->ctx, GENAI_ERROR_FORMAT, "%s: the shape of tensor %s is too large: dim %d is %llu", j->path,
                                           genai__show(name).text, entry->ndim, (unsigned long long)dim), 0;
        if (entry->ndim < 4) entry->dim[entry->ndim] = (int)dim;
    }
    return !j->result;
}

/* {"dtype":"F32","shape":[..],"data_offsets":[b,e]} in any order, each once. */
static int genai__header_tensor(genai__header *h, const char *name, genai__span *span) {
    genai__json *j = &h->json;
    size_t       i, t, bytes;
    int          seen = 0;
    char         word[32];
    memset(span, 0, sizeof *span);
    for (i = 0; i < 4; i++) span->entry.dim[i] = 1;
    if (!genai__json_want(j, '{')) return 0;
    for (i = 0; genai__json_more(j, i, '}'); i++) {
        if (!genai__json_string(j, word, sizeof word)) return 0;
        int bit = !strcmp(word, "dtype") ? 1 : !strcmp(word, "shape") ? 2 : !strcmp(word, "data_offsets") ? 4 : 0;
        if (!bit || seen & bit) return genai__json_fail(j, "one dtype, one shape, one data_offsets and nothing else");
        seen |= bit;
        if (!genai__json_want(j, ':')) return 0;
        if (bit == 1) {
            if (!genai__json_string(j, word, sizeof word)) return 0;
            for (t = 0; t < GENAI__COUNT(genai__dtypes) && strcmp(word, genai__dtypes[t].name); t++) {}
            if (t == GENAI__COUNT(genai__dtypes)) return genai__json_fail(j, "a known dtype");
            span->dtype = (int)t;
        } else if (bit == 2) {
            if (!genai__header_shape(h, name, &span->entry)) return 0;
        } else if (!genai__json_want(j, '[') || !genai__json_integer(j, &span->begin) || !genai__json_want(j, ',') ||
                   !genai__json_integer(j, &span->end) || !genai__json_want(j, ']')) return 0;
    }
    if (j->result) return 0;
    if (seen != 7) return genai__json_fail(j, "dtype, shape and data_offsets before the end of a tensor");
    if (!genai__mul(span->entry.count, genai__dtypes[span->dtype].bits, &bytes) || bytes % 8 || span->end < span->begin ||
        span->end - span->begin != bytes / 8)
        return j->result = genai__fail(j->ctx, GENAI_ERROR_FORMAT, "%s: tensor %s has %zu elements of type %s but data_offsets [%llu,%llu]",
                                       j->path, genai__show(name).text, span->entry.count, genai__dtypes[span->dtype].name,
                                       (unsigned long long)span->begin, (unsigned long long)span->end), 0;
    return 1;
}

static int genai__header_metadata(genai__header *h) {
    genai__json *j = &h->json;
    char         key_word[32], value_word[32], *key, *value;
    if (!genai__json_want(j, '{')) return 0;
    for (size_t i = 0; genai__json_more(j, i, '}'); i++) {
        key = genai__json_string(j, h->pair ? NULL : key_word, sizeof key_word);
        if (!key || !genai__json_want(j, ':')) return 0;
        genai__json_space(j);
        unsigned char *raw = j->p + 1;
        value = genai__json_string(j, h->pair ? NULL : value_word, sizeof value_word);
        if (!value) return 0;
        if (h->pair) {
            h->pair[h->pairs].key = key;
            h->pair[h->pairs].value = value;
        } else if (!strncmp(key, "genai.", 6)) {
            h->ours = 1;
            if (!strcmp(key, "genai.digest")) {
                h->stamped = 1;
                size_t length = (size_t)(j->p - 1 - raw);
                if (length == 16 && strspn(value, "0123456789abcdef") == 16) h->digest = raw;
                else if (strcmp(value, "none")) return genai__json_fail(j, "16 hexadecimal digits or none for genai.digest");
            }
        }
        h->pairs++;
    }
    return !j->result;
}

/* Goes through the whole header: first to count and check, then, with memory for what was counted, to fill. Strings are
 * decoded in place only then, so both passes see the same bytes. */
static genai_result genai__header_scan(genai__header *h) {
    genai__json *j = &h->json;
    int          metadata = 0;
    j->p = j->start;
    h->n = h->pairs = 0;
    if (!genai__json_want(j, '{')) return j->result;
    for (size_t i = 0; genai__json_more(j, i, '}'); i++) {
        char        word[32], *key = genai__json_string(j, h->span ? NULL : word, sizeof word);
        genai__span span;
        if (!key || !genai__json_want(j, ':')) break;
        if (!strcmp(key, "__metadata__")) {
            if (metadata++) genai__json_fail(j, "__metadata__ only once");
            if (j->result || !genai__header_metadata(h)) break;
        } else {
            if (!genai__header_tensor(h, key, &span)) break;
            if (h->span) {
                h->span[h->n] = span;
                h->span[h->n].entry.name = key;
            }
            h->n++;
        }
    }
    genai__json_space(j);
    if (!j->result && j->p != j->end) genai__json_fail(j, "nothing but spaces after the last }");
    return j->result;
}

static int genai__by_offset(const void *a, const void *b) {
    const genai__span *x = (const genai__span *)a, *y = (const genai__span *)b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static genai_result genai__entry_finite(genai_ctx *ctx, const char *path, const genai__entry *entry) {
    for (size_t i = 0; i < entry->count; i++)
        if (!genai__finite(entry->data[i]))
            return genai__fail(ctx, GENAI_ERROR_NONFINITE, "%s: element %zu of tensor %s is infinite or not a number", path, i,
                               genai__show(entry->name).text);
    return GENAI_OK;
}

/* The tensors must lie end to end from 0: this excludes overlaps, holes and doubles at once. */
static genai_result genai__header_layout(genai__header *h, size_t *size) {
    genai_ctx  *ctx = h->json.ctx;
    const char *path = h->json.path, *twice;
    uint64_t    end = 0;
    genai__sort(h->span, h->n, sizeof *h->span, genai__by_offset);
    for (size_t i = 0; i < h->n; end = h->span[i++].end)
        if (h->span[i].begin != end)
            return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: tensor %s begins at byte %llu, but the one before ends at %llu", path,
                               genai__show(h->span[i].entry.name).text, (unsigned long long)h->span[i].begin, (unsigned long long)end);
    if (end > (size_t)-1) return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: larger than the memory of this machine", path);
    *size = (size_t)end;
    genai__sort(h->span, h->n, sizeof *h->span, genai__by_name);
    genai__sort(h->pair, h->pairs, sizeof *h->pair, genai__by_name);
    twice = genai__repeated_name(h->span, h->n, sizeof *h->span);
    if (!twice) twice = genai__repeated_name(h->pair, h->pairs, sizeof *h->pair);
    if (twice) return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: the name %s stands there twice", path, genai__show(twice).text);
    for (size_t i = 0; i < h->n; i++) {
        const genai__span *span = &h->span[i];
        if (span->dtype)
            return genai__fail(ctx, GENAI_ERROR_UNSUPPORTED, "%s: tensor %s is %s; only F32 can be read", path,
                               genai__show(span->entry.name).text, genai__dtypes[span->dtype].name);
        if (span->entry.ndim > 4)
            return genai__fail(ctx, GENAI_ERROR_UNSUPPORTED, "%s: tensor %s has %d dims; at most 4 can be read", path,
                               genai__show(span->entry.name).text, span->entry.ndim);
    }
    return GENAI_OK;
}

/* Reads the 8 bytes of N and the header, and checks it whole; the tensors are in h->span then. crc begins with these bytes,
 * `found` receives the digest that stands there. */
static genai_result genai__header_read(genai__header *h, void *file, genai__safetensors *out, size_t *size,
                                      genai__crc64 *crc, char *found) {
    genai_ctx   *ctx = h->json.ctx;
    const char  *path = h->json.path;
    genai__bytes head = {NULL, 0}, bytes = {NULL, 0};
    uint64_t     length = 0;
    genai_result result = genai__file_read(ctx, path, file, 8, &head);
    genai__crc64_begin(crc);
    if (!result && head.n < 8) result = genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: no safetensors file, only %zu bytes", path, head.n);
    for (size_t i = 8; !result && i--;) length = length << 8 | head.p[i];
    if (!result) genai__crc64_add(crc, head.p, 8);
    genai__free(ctx, head.p);
    if (result) return result;
    if (length < 2 || length > GENAI__HEADER_MAX)
        return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: no safetensors file: a header of %llu bytes, 2 to %zu are taken", path,
                           (unsigned long long)length, GENAI__HEADER_MAX);
    result = genai__file_read(ctx, path, file, (size_t)length, &bytes);
    out->header = bytes.p;
    if (result) return result;
    if (bytes.n < length)
        return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: truncated in its header: %zu bytes of %zu", path, bytes.n, (size_t)length);
    if (!genai__utf8(bytes.p, bytes.n)) return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: the header is not UTF-8", path);
    h->json.start = bytes.p;
    h->json.end = bytes.p + bytes.n;
    GENAI__TRY(genai__header_scan(h));
    if (h->ours && !h->stamped)
        return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: damaged: it has genai.* keys but no genai.digest (\"none\" if that is meant)",
                           path);
    if (h->digest) {
        memcpy(found, h->digest, 16);
        memset(h->digest, '0', 16);
    }
    genai__crc64_add(crc, bytes.p, bytes.n);
    if (h->digest) memcpy(h->digest, found, 16);
    h->span = (genai__span *)genai__alloc(ctx, h->n + 1, sizeof *h->span);
    h->pair = out->metadata = (genai__pair *)genai__alloc(ctx, h->pairs + 1, sizeof *h->pair);
    if (!h->span || !h->pair) return GENAI_ERROR_MEMORY;
    result = genai__header_scan(h);
    return result ? result : genai__header_layout(h, size);
}

static genai_result genai__safetensors_load(genai__header *h, void *file, genai__safetensors *out) {
    genai_ctx    *ctx = h->json.ctx;
    const char   *path = h->json.path;
    genai__crc64  crc;
    genai__bytes  bytes = {NULL, 0};
    char          found[16], computed[16];
    size_t        size = 0, i, k;
    genai_result  result = genai__header_read(h, file, out, &size, &crc, found);
    if (!result) result = genai__file_read(ctx, path, file, size, &bytes);
    out->data = bytes.p;
    if (result) return result;
    if (bytes.n < size)
        return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: truncated: %zu bytes of tensors, %zu by the header", path, bytes.n, size);
    long more = ctx->desc.io.read(ctx->desc.io.user, file, computed, 1);
    if (more < 0) return genai__read_fail(ctx, path, "could not be read");
    if (more) return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: damaged: more bytes than the %zu of its tensors", path, size);
    genai__crc64_add(&crc, bytes.p, bytes.n);
    genai__crc64_digits(&crc, computed);
    if (h->digest && memcmp(found, computed, 16))
        return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: damaged: the digest of its content is %.16s, but %.16s stands in it", path,
                           computed, found);
    out->entries = (genai__entry *)genai__alloc(ctx, h->n + 1, sizeof *out->entries);
    if (!out->entries) return GENAI_ERROR_MEMORY;
    for (i = 0; i < h->n; i++) {
        genai__entry *entry = &out->entries[i];
        *entry = h->span[i].entry;
        entry->data = entry->count ? (float *)(void *)(bytes.p + (size_t)h->span[i].begin) : NULL;
        for (k = 0; k < entry->count; k++) { /* little-endian to the machine's own order, in place */
            const unsigned char *b = (const unsigned char *)(entry->data + k);
            uint32_t             u = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
            memcpy(entry->data + k, &u, 4);
        }
        GENAI__TRY(genai__entry_finite(ctx, path, entry));
    }
    out->n = h->n;
    out->pairs = h->pairs;
    return GENAI_OK;
}

/* Reads a whole file, or nothing: on failure *out is empty. out is given back with genai__safetensors_free. */
static genai_result genai__safetensors_read(genai_ctx *ctx, const char *path, genai__safetensors *out) {
    genai__header h = GENAI__ZEROED;
    void         *file;
    memset(out, 0, sizeof *out);
    h.json.ctx = ctx;
    h.json.path = path;
    GENAI__TRY(genai__file_open(ctx, path, &file));
    genai_result result = genai__safetensors_load(&h, file, out);
    ctx->desc.io.close(ctx->desc.io.user, file);
    genai__free(ctx, h.span);
    if (result) genai__safetensors_free(ctx, out);
    return result;
}

/* What the writer is given: names and texts that can be read back, sizes that agree, finite values. */
static genai_result genai__safetensors_check(genai_ctx *ctx, const char *path, size_t n, const genai__entry *entry, size_t pairs,
                                             const genai__pair *pair) {
    const char  *twice = genai__repeated_name(entry, n, sizeof *entry);
    if (!twice) twice = genai__repeated_name(pair, pairs, sizeof *pair);
    if (twice) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: not written: the name %s is given twice", path, genai__show(twice).text);
    for (size_t i = 0; i < pairs; i++)
        if (!strcmp(pair[i].key, "genai.digest") || !strcmp(pair[i].key, "genai.format") ||
            !genai__utf8((const unsigned char *)pair[i].key, strlen(pair[i].key)) ||
            !genai__utf8((const unsigned char *)pair[i].value, strlen(pair[i].value)))
            return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: not written: metadata %s is not UTF-8, or its key is the file's own", path,
                               genai__show(pair[i].key).text);
    for (size_t i = 0; i < n; i++) {
        size_t count = 1;
        int    fits = entry[i].ndim >= 0 && entry[i].ndim <= 4;
        for (int d = 0; fits && d < entry[i].ndim; d++)
            fits = entry[i].dim[d] >= 0 && genai__mul(count, (size_t)entry[i].dim[d], &count);
        if (!fits || count != entry[i].count || !strcmp(entry[i].name, "__metadata__") ||
            !genai__utf8((const unsigned char *)entry[i].name, strlen(entry[i].name)))
            return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: not written: tensor %s has no valid name, or another shape than %zu elements",
                               path, genai__show(entry[i].name).text, entry[i].count);
        GENAI__TRY(genai__entry_finite(ctx, path, &entry[i]));
    }
    return GENAI_OK;
}

/* The data of an entry as bytes in the file's order, into the checksum, the file, or both. */
static void genai__entry_bytes(const genai__entry *entry, genai__crc64 *crc, genai__save *save) {
    unsigned char bytes[4096];
    for (size_t i = 0, n; i < entry->count; i += n) {
        n = entry->count - i < 1024 ? entry->count - i : 1024;
        for (size_t k = 0; k < n; k++) {
            uint32_t u;
            memcpy(&u, entry->data + i + k, 4);
            for (size_t b = 0; b < 4; b++) bytes[4 * k + b] = (unsigned char)(u >> 8 * b);
        }
        if (crc) genai__crc64_add(crc, bytes, 4 * n);
        if (save) genai__save_put(save, bytes, 4 * n);
    }
}

/* Fills `text` with the 8 bytes of N and the header, digest included. */
static genai_result genai__header_write(genai__text *text, const char *path, size_t n, const genai__entry *entry, size_t pairs,
                                        const genai__pair *pair) {
    genai_ctx *ctx = text->ctx;
    genai__crc64 crc;
    size_t     i, bytes, begin = 0, end;
    genai__text_bytes(text, "\0\0\0\0\0\0\0", 8);
    genai__text_add(text, GENAI__HEADER_START "0000000000000000" GENAI__HEADER_REST);
    for (i = 0; i < pairs; i++) {
        genai__text_add(text, ",");
        genai__json_put(text, pair[i].key);
        genai__text_add(text, ":");
        genai__json_put(text, pair[i].value);
    }
    genai__text_add(text, "}");
    for (i = 0; i < n; i++, begin = end) {
        if (!genai__mul(entry[i].count, 4, &bytes) || !genai__add(begin, bytes, &end))
            return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: not written: too large", path);
        genai__text_add(text, ",");
        genai__json_put(text, entry[i].name);
        genai__text_add(text, ":{\"dtype\":\"F32\",\"shape\":[");
        for (int d = 0; d < entry[i].ndim; d++) genai__text_format(text, d ? ",%d" : "%d", entry[i].dim[d]);
        genai__text_format(text, "],\"data_offsets\":[%zu,%zu]}", begin, end);
    }
    genai__text_add(text, "}");
    while (!text->failed && text->length % 8) genai__text_add(text, " ");
    if (text->failed) return GENAI_ERROR_MEMORY;
    if (text->length - 8 > GENAI__HEADER_MAX)
        return genai__fail(ctx, GENAI_ERROR_UNSUPPORTED, "%s: not written: its header has %zu bytes, at most %zu can be read", path,
                           text->length - 8, GENAI__HEADER_MAX);
    for (i = 0; i < 8; i++) text->p[i] = (char)(unsigned char)((uint64_t)(text->length - 8) >> (8 * i));
    genai__crc64_begin(&crc);
    genai__crc64_add(&crc, (const unsigned char *)text->p, text->length);
    for (i = 0; i < n; i++) genai__entry_bytes(&entry[i], &crc, NULL);
    genai__crc64_digits(&crc, text->p + 8 + sizeof GENAI__HEADER_START - 1);
    return GENAI_OK;
}

/* Writes a file that depends on the given names and values alone, not on their order. Old file or new one, never half. */
static genai_result genai__safetensors_write(genai_ctx *ctx, const char *path, size_t n, const genai__entry *entries, size_t pairs,
                                             const genai__pair *metadata) {
    genai__entry *entry = (genai__entry *)genai__alloc(ctx, n + 1, sizeof *entry);
    genai__pair  *pair = (genai__pair *)genai__alloc(ctx, pairs + 1, sizeof *pair);
    genai__text   text = {ctx, NULL, 0, 0, 0};
    genai_result  result = entry && pair ? GENAI_OK : GENAI_ERROR_MEMORY;
    if (!result) {
        if (n) memcpy(entry, entries, n * sizeof *entry);
        if (pairs) memcpy(pair, metadata, pairs * sizeof *pair);
        genai__sort(entry, n, sizeof *entry, genai__by_name);
        genai__sort(pair, pairs, sizeof *pair, genai__by_name);
        result = genai__safetensors_check(ctx, path, n, entry, pairs, pair);
    }
    if (!result) result = genai__header_write(&text, path, n, entry, pairs, pair);
    if (!result) {
        genai__save save = genai__save_begin(ctx, path);
        genai__save_put(&save, text.p, text.length);
        for (size_t i = 0; i < n; i++) genai__entry_bytes(&entry[i], NULL, &save);
        result = genai__save_end(&save);
    }
    genai__text_free(&text);
    genai__free(ctx, entry);
    genai__free(ctx, pair);
    return result;
}

/* ====================================================================================================================
 * >>image (private)
 * Pictures of bytes, [H,W,C], 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA, alpha not premultiplied. Everything here is integer
 * arithmetic, so a data set has the same bits everywhere. A decoder that fails says why in a text and leaves the context
 * alone: whether that is an error or a file to skip is for the caller to say. PNG, JPEG and BMP go through stb_image.h,
 * PNG writing through stb_image_write.h, if the user included them before; PGM, PPM and PAM need nothing.
 * ================================================================================================================= */
#define GENAI__IMAGE_SIDE 16384 /* the largest width and height */

typedef struct genai__image {
    int            width, height, channels;
    unsigned char *p; /* genai__alloc */
} genai__image;

typedef struct genai__reason { char text[200]; } genai__reason; /* why a file is no picture */

static GENAI__PRINTF(3, 4) genai_result genai__refuse(genai__reason *why, genai_result code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    return code;
}

/* 1 if name ends in one of the words (lower case, each ended by a blank), in any case. */
static int genai__has_ending(const char *name, const char *words) {
    size_t n = strlen(name);
    while (*words) {
        size_t length = strcspn(words, " "), i;
        for (i = 0; i < length && length < n; i++) {
            char c = name[n - length + i];
            if ((c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c) != words[i]) break;
        }
        if (length < n && i == length) return 1;
        words += length + (words[length] == ' ');
    }
    return 0;
}
#define GENAI__IMAGE_ENDINGS ".png .jpg .jpeg .bmp .pgm .ppm .pam .pnm"

/* Memory for a picture whose sides come from a file. */
static genai_result genai__image_alloc(genai_ctx *ctx, genai__image *image, int width, int height, int channels) {
    const genai__image empty = {width, height, channels, NULL};
    size_t             n;
    *image = empty;
    if (!genai__mul((size_t)width, (size_t)height, &n)) n = (size_t)-1;
    image->p = (unsigned char *)genai__alloc(ctx, n, (size_t)channels);
    return image->p ? GENAI_OK : GENAI_ERROR_MEMORY;
}

/* --- PGM, PPM, PAM --- */
typedef struct genai__pnm {
    long   width, height, channels, maxval;
    size_t data; /* where the samples begin */
} genai__pnm;

/* The next number of a header: after blanks and comments, at most 9 digits. -1: there is none. */
static long genai__pnm_number(const genai__bytes *b, size_t *at) {
    long x = 0;
    int  digits = 0;
    while (*at < b->n && (b->p[*at] == '#' || strchr(" \t\r\n\v\f", b->p[*at]))) {
        if (!b->p[*at]) return -1; /* strchr finds the final 0 too */
        if (b->p[*at] == '#') while (*at < b->n && b->p[*at] != '\n') ++*at;
        else ++*at;
    }
    for (; *at < b->n && b->p[*at] >= '0' && b->p[*at] <= '9'; ++*at, digits++) {
        if (digits == 9) return -1;
        x = x * 10 + (b->p[*at] - '0');
    }
    return digits ? x : -1;
}

static int genai__pam_header(const genai__bytes *b, genai__pnm *h) { /* lines of a word and a number, then ENDHDR */
    static const char *const words[4] = {"WIDTH ", "HEIGHT ", "DEPTH ", "MAXVAL "};
    long *const              to[4] = {&h->width, &h->height, &h->channels, &h->maxval};
    size_t                   at = 2;
    while (at < b->n) {
        const unsigned char *end = (const unsigned char *)memchr(b->p + at, '\n', b->n - at);
        size_t               length = end ? (size_t)(end - b->p) - at : b->n - at, i;
        if (length >= 6 && !memcmp(b->p + at, "ENDHDR", 6)) {
            h->data = at + length + 1;
            return end != NULL;
        }
        for (i = 0; i < 4; i++) {
            size_t n = strlen(words[i]), from = at + n;
            if (length > n && !memcmp(b->p + at, words[i], n)) *to[i] = genai__pnm_number(b, &from);
        }
        at += length + 1;
    }
    return 0;
}

static genai_result genai__pnm_header(const genai__bytes *b, genai__pnm *h, genai__reason *why) {
    size_t at = 2, need;
    h->width = h->height = h->maxval = h->channels = -1;
    if (b->p[1] == '7') {
        if (!genai__pam_header(b, h)) return genai__refuse(why, GENAI_ERROR_FORMAT, "the PAM header has no ENDHDR");
    } else {
        h->channels = b->p[1] == '5' ? 1 : 3;
        h->width = genai__pnm_number(b, &at);
        if (h->width >= 0) h->height = genai__pnm_number(b, &at);
        if (h->height >= 0) h->maxval = genai__pnm_number(b, &at);
        h->data = at + 1; /* exactly one blank after maxval */
    }
    if (h->width < 1 || h->height < 1 || h->maxval < 1 || h->maxval > 65535 || h->channels < 1 || h->channels > 4)
        return genai__refuse(why, GENAI_ERROR_FORMAT, "a bad header: width %ld, height %ld, channels %ld, maximum %ld (-1: no number)",
                              h->width, h->height, h->channels, h->maxval);
    if (h->width > GENAI__IMAGE_SIDE || h->height > GENAI__IMAGE_SIDE)
        return genai__refuse(why, GENAI_ERROR_FORMAT, "%ldx%ld pixels are more than %d a side", h->width, h->height, GENAI__IMAGE_SIDE);
    if (!genai__mul((size_t)h->width * (size_t)h->height, (size_t)h->channels * (h->maxval > 255 ? 2 : 1), &need) || h->data > b->n
        || b->n - h->data < need)
        return genai__refuse(why, GENAI_ERROR_FORMAT, "truncated: %zu bytes, of which the header takes %zu, can't hold %ldx%ld pixels of %ld",
                              b->n, h->data, h->width, h->height, h->channels);
    return GENAI_OK;
}

static genai_result genai__pnm_decode(genai_ctx *ctx, const genai__bytes *b, genai__image *out, genai__reason *why) {
    genai__pnm   h;
    genai_result r = genai__pnm_header(b, &h, why);
    if (r || (r = genai__image_alloc(ctx, out, (int)h.width, (int)h.height, (int)h.channels))) return r;
    const unsigned char *from = b->p + h.data;
    size_t n = (size_t)h.width * (size_t)h.height * (size_t)h.channels; /* fits: the header was checked against the file */
    for (size_t i = 0; i < n; i++) {
        long x = h.maxval > 255 ? from[2 * i] << 8 | from[2 * i + 1] : from[i];
        if (x > h.maxval) {
            genai__free(ctx, out->p);
            return genai__refuse(why, GENAI_ERROR_FORMAT, "sample %zu is %ld, more than the maximum %ld", i, x, h.maxval);
        }
        out->p[i] = (unsigned char)((x * 255 + h.maxval / 2) / h.maxval);
    }
    return GENAI_OK;
}

/* --- PNG, JPEG, BMP --- */
static uint32_t genai__big_endian(const unsigned char *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

#ifdef STBI_INCLUDE_STB_IMAGE_H
static uint32_t genai__png_crc(const unsigned char *p, size_t n) { /* of PNG, a nibble at a time */
    static const uint32_t table[16] = {0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
                                       0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu, 0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu};
    uint32_t              c = 0xffffffffu;
    for (; n; n--, p++) {
        c = table[(c ^ *p) & 15] ^ c >> 4;
        c = table[(c ^ (uint32_t)*p >> 4) & 15] ^ c >> 4;
    }
    return ~c;
}

/* stb_image looks at no checksum and would hand out a damaged picture as a good one. */
static genai_result genai__png_check(const genai__bytes *b, genai__reason *why) {
    size_t at = 8;
    while (b->n - at >= 12) {
        uint32_t length = genai__big_endian(b->p + at);
        if (length > b->n - at - 12) break;
        if (!(b->p[at + 4] & 32) && genai__png_crc(b->p + at + 4, length + 4) != genai__big_endian(b->p + at + 8 + length))
            return genai__refuse(why, GENAI_ERROR_FORMAT, "damaged: the checksum of the PNG chunk at byte %zu is wrong", at);
        if (!memcmp(b->p + at + 4, "IEND", 4)) return GENAI_OK;
        at += (size_t)length + 12;
    }
    return genai__refuse(why, GENAI_ERROR_FORMAT, "truncated: the PNG ends at byte %zu without its last chunk", b->n);
}

/* Nor does it mind a BMP that ends early: the rows must all be there. */
static genai_result genai__bmp_check(const genai__bytes *b, int width, int height, genai__reason *why) {
    const unsigned char *p = b->p;
    size_t               begin, row = 0;
    if (b->n >= 30) {
        begin = (size_t)p[10] | (size_t)p[11] << 8 | (size_t)p[12] << 16 | (size_t)p[13] << 24;
        row = ((size_t)width * p[p[14] == 12 ? 24 : 28] + 31) / 32 * 4;
        if (row && begin <= b->n && (b->n - begin) / row >= (size_t)height) return GENAI_OK;
    }
    return genai__refuse(why, GENAI_ERROR_FORMAT, "truncated: a BMP of %zu bytes can't hold %dx%d pixels", b->n, width, height);
}

static genai_result genai__stb_header(const genai__bytes *b, int *width, int *height, genai__reason *why) {
    int channels;
    if (b->n > 0x7fffffffu) return genai__refuse(why, GENAI_ERROR_FORMAT, "%zu bytes are too many for one picture", b->n);
    if (!stbi_info_from_memory(b->p, (int)b->n, width, height, &channels))
        return genai__refuse(why, GENAI_ERROR_FORMAT, "damaged: %s", stbi_failure_reason() ? stbi_failure_reason() : "no readable header");
    if (*width < 1 || *height < 1 || *width > GENAI__IMAGE_SIDE || *height > GENAI__IMAGE_SIDE)
        return genai__refuse(why, GENAI_ERROR_FORMAT, "%dx%d pixels, outside 1 to %d a side", *width, *height, GENAI__IMAGE_SIDE);
    return GENAI_OK;
}

static genai_result genai__stb_decode(genai_ctx *ctx, const genai__bytes *b, genai__image *out, genai__reason *why) {
    int          width, height, channels, w, h;
    genai_result r = genai__stb_header(b, &width, &height, why);
    if (!r && b->p[0] == 0x89) r = genai__png_check(b, why);
    else if (!r && b->p[0] == 'B') r = genai__bmp_check(b, width, height, why);
    if (r) return r;
    unsigned char *pixels = stbi_load_from_memory(b->p, (int)b->n, &w, &h, &channels, 0);
    if (!pixels) return genai__refuse(why, GENAI_ERROR_FORMAT, "damaged: %s", stbi_failure_reason() ? stbi_failure_reason() : "can't be decoded");
    if (w != width || h != height || channels < 1 || channels > 4)
        r = genai__refuse(why, GENAI_ERROR_FORMAT, "damaged: %dx%d pixels of %d channels do not match the header", w, h, channels);
    else if (!(r = genai__image_alloc(ctx, out, w, h, channels))) memcpy(out->p, pixels, (size_t)w * (size_t)h * (size_t)channels);
    stbi_image_free(pixels);
    return r;
}
#else
static genai_result genai__stb_header(const genai__bytes *b, int *width, int *height, genai__reason *why) {
    (void)b; (void)width; (void)height;
    return genai__refuse(why, GENAI_ERROR_UNSUPPORTED, "reading PNG, JPEG or BMP needs stb_image.h included before genai.h");
}
static genai_result genai__stb_decode(genai_ctx *ctx, const genai__bytes *b, genai__image *out, genai__reason *why) {
    (void)ctx; (void)out;
    return genai__stb_header(b, NULL, NULL, why);
}
#endif

/* What the first bytes say: 'p' PGM, PPM, PAM; 's' for stb_image; 0 neither (its GIF, PSD, PIC ... readers are not used). */
static int genai__image_kind(const genai__bytes *b, genai__reason *why) {
    if (b->n >= 3 && b->p[0] == 'P' && (b->p[1] == '5' || b->p[1] == '6' || b->p[1] == '7') && strchr(" \t\r\n#", b->p[2]) && b->p[2]) return 'p';
    if (b->n >= 8 && (!memcmp(b->p, "\x89PNG\r\n\x1a\n", 8) || !memcmp(b->p, "\xff\xd8\xff", 3) || !memcmp(b->p, "BM", 2))) return 's';
    genai__refuse(why, GENAI_ERROR_FORMAT, b->n ? "no PNG, JPEG, BMP or binary PGM, PPM, PAM" : "an empty file");
    return 0;
}

static genai_result genai__image_header(const genai__bytes *b, int *width, int *height, genai__reason *why) {
    genai__pnm h;
    int        kind = genai__image_kind(b, why);
    if (kind != 'p') return kind ? genai__stb_header(b, width, height, why) : GENAI_ERROR_FORMAT;
    genai_result r = genai__pnm_header(b, &h, why);
    *width = (int)h.width;
    *height = (int)h.height;
    return r;
}

/* Decodes bytes into out->p, to be freed by the caller. FORMAT and UNSUPPORTED are told in why only, MEMORY as ever. */
static genai_result genai__image_decode(genai_ctx *ctx, const genai__bytes *b, genai__image *out, genai__reason *why) {
    int          kind = genai__image_kind(b, why);
    genai_result r = !kind ? GENAI_ERROR_FORMAT : kind == 'p' ? genai__pnm_decode(ctx, b, out, why) : genai__stb_decode(ctx, b, out, why);
    if (r || out->channels % 2) return r;
    size_t c = (size_t)out->channels; /* colour that no one can see varies with the program that wrote it: a model would learn that */
    size_t n = (size_t)out->width * (size_t)out->height;
    for (size_t i = 0; i < n; i++)
        if (!out->p[i * c + c - 1]) memset(out->p + i * c, 0, c);
    return r;
}

/* --- resizing --- */
typedef struct genai__taps { int from, count, weight[2]; } genai__taps; /* pixels that one output pixel of an axis takes */

/* Shrinking: the area of each input pixel under the output pixel, in units of 1/out pixel, so the weights sum to `in`; the
 * first and last differ, those between weigh `out`. Enlarging: bilinear between pixel centres, weights sum to 2*out. */
static genai__taps genai__resize_taps(int in, int out, int i) {
    genai__taps t;
    if (out < in) {
        int begin = i * in, end = begin + in; /* up to 2^28 */
        int last = (end - 1) / out;
        t.from = begin / out;
        t.count = last - t.from + 1;
        t.weight[0] = (t.from + 1) * out - begin;
        t.weight[1] = end - last * out;
    } else {
        int s = (2 * i + 1) * in - out, low = s < 0 ? -1 : s / (2 * out); /* centre in units of 1/(2 out), from pixel 0's */
        t.weight[1] = s - low * 2 * out;
        t.weight[0] = 2 * out - t.weight[1];
        t.from = low < 0 ? 0 : low;
        t.count = low < 0 || low + 1 >= in ? 1 : 2;
        if (t.count == 1) t.weight[0] = 2 * out; /* clamped at the edge */
    }
    return t;
}
GENAI__INLINE int genai__tap(const genai__taps *t, int j, int out) { return j == 0 ? t->weight[0] : j == t->count - 1 ? t->weight[1] : out; }

static void genai__resize_pixel(const genai__image *in, const genai__taps *tx, const genai__taps *ty, int width, int height, unsigned char *to) {
    int      c = in->channels, colours = c - (c == 2 || c == 4), x, y, k;
    uint64_t sum[4] = {0, 0, 0, 0}, total = 0, alpha = 0;
    for (y = 0; y < ty->count; y++)
        for (x = 0; x < tx->count; x++) {
            const unsigned char *p = in->p + ((size_t)(ty->from + y) * (size_t)in->width + (size_t)(tx->from + x)) * (size_t)c;
            uint64_t             w = (uint64_t)genai__tap(tx, x, width) * (uint64_t)genai__tap(ty, y, height); /* up to 2^30 */
            total += w;
            if (colours < c) alpha += w *= p[colours]; /* premultiplied: what can't be seen must not bleed */
            for (k = 0; k < colours; k++) sum[k] += w * p[k];
        }
    if (colours < c) to[colours] = (unsigned char)((alpha + total / 2) / total);
    else alpha = total;
    for (k = 0; k < colours; k++) to[k] = alpha ? (unsigned char)((sum[k] + alpha / 2) / alpha) : 0;
}

/* in resized to width x height, into to. */
static void genai__image_resize(const genai__image *in, int width, int height, genai_filter filter, unsigned char *to) {
    size_t c = (size_t)in->channels;
    for (int y = 0; y < height; y++) {
        genai__taps ty = genai__resize_taps(in->height, height, y);
        int         near_y = (int)((2 * (int64_t)y + 1) * in->height / (2 * (int64_t)height));
        for (int x = 0; x < width; x++, to += c) {
            if (filter == GENAI_FILTER_NEAREST) {
                int near_x = (int)((2 * (int64_t)x + 1) * in->width / (2 * (int64_t)width));
                memcpy(to, in->p + ((size_t)near_y * (size_t)in->width + (size_t)near_x) * c, c);
            } else {
                genai__taps tx = genai__resize_taps(in->width, width, x);
                genai__resize_pixel(in, &tx, &ty, width, height, to);
            }
        }
    }
}

/* --- channels --- */
/* n pixels of `from` channels to pixels of `to`. Grey is the luma of ITU-R BT.601. Alpha is added as opaque; dropped, the
 * picture lies on black, so that no invisible colour comes to light and empty ground is 0, as in MNIST. */
static void genai__image_convert(const unsigned char *p, int from, unsigned char *q, int to, size_t n) {
    if (from == to) {
        memcpy(q, p, n * (size_t)to);
        return;
    }
    for (; n; n--, p += from, q += to) {
        unsigned r = p[0], g = from > 2 ? p[1] : r, b = from > 2 ? p[2] : r, a = from == 2 ? p[1] : from == 4 ? p[3] : 255;
        if (to == 1 || to == 3) {
            r = (r * a + 127) / 255;
            g = (g * a + 127) / 255;
            b = (b * a + 127) / 255;
        }
        if (to < 3) r = (299 * r + 587 * g + 114 * b + 500) / 1000;
        q[0] = (unsigned char)r;
        if (to > 2) { q[1] = (unsigned char)g; q[2] = (unsigned char)b; }
        if (to == 2 || to == 4) q[to - 1] = (unsigned char)a;
    }
}

/* The fewest channels that hold these n pixels without loss. */
static int genai__image_needs(const unsigned char *p, int channels, size_t n) {
    int colour = 0, alpha = 0;
    for (; n; n--, p += channels) {
        if (channels > 2) colour |= p[0] != p[1] || p[1] != p[2];
        if (channels == 2 || channels == 4) alpha |= p[channels - 1] != 255;
    }
    return 1 + 2 * colour + alpha;
}

/* [0,1] to 0..255; NaN to 0 (by its bits: see genai__finite). */
static unsigned char genai__to_byte(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u || x <= 0.0f) return 0;
    return x >= 1.0f ? 255 : (unsigned char)(x * 255.0f + 0.5f);
}

/* --- writing --- */
#ifdef INCLUDE_STB_IMAGE_WRITE_H
static void genai__png_bytes(void *to, void *data, int size) { genai__text_bytes((genai__text *)to, (const char *)data, size < 0 ? 0 : (size_t)size); }
#endif

/* The file's bytes into t, by the ending of path. stb's own file functions report success on a full disk: not used. */
static genai_result genai__image_encode(genai_ctx *ctx, const char *path, const genai__image *image, genai__text *t) {
    static const char *const types[4] = {"GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA"};
    int                      w = image->width, h = image->height, c = image->channels;
    size_t                   n = (size_t)w * (size_t)h * (size_t)c;
    if (genai__has_ending(path, ".png")) {
#ifdef INCLUDE_STB_IMAGE_WRITE_H
        if (n > 1u << 30) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: %dx%dx%d is too large for a PNG", path, w, h, c);
        if (!stbi_write_png_to_func(genai__png_bytes, t, w, h, c, image->p, w * c) || t->failed || !t->length)
            return genai__fail(ctx, GENAI_ERROR_MEMORY, "%s: out of memory while a PNG of %dx%dx%d was packed", path, w, h, c);
        return GENAI_OK;
#else
        return genai__fail(ctx, GENAI_ERROR_UNSUPPORTED, "%s: writing PNG needs stb_image_write.h included before genai.h (or name it .ppm, .pgm or .pam)", path);
#endif
    }
    if (genai__has_ending(path, ".pam"))
        genai__text_format(t, "P7\nWIDTH %d\nHEIGHT %d\nDEPTH %d\nMAXVAL 255\nTUPLTYPE %s\nENDHDR\n", w, h, c, types[c - 1]);
    else if (genai__has_ending(path, ".pgm .ppm")) {
        int want = genai__has_ending(path, ".pgm") ? 1 : 3;
        if (c != want) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: the picture has %d channels and this format %d; use .png or .pam", path, c, want);
        genai__text_format(t, "P%d\n%d %d\n255\n", c == 1 ? 5 : 6, w, h);
    } else return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: pictures are written as .png, .pgm, .ppm or .pam", path);
    genai__text_bytes(t, (const char *)image->p, n);
    return t->failed ? GENAI_ERROR_MEMORY : GENAI_OK;
}

static genai_result genai__image_write(genai_ctx *ctx, const char *path, const genai__image *image) {
    genai__text t = {ctx, NULL, 0, 0, 0};
    genai_result r = genai__image_encode(ctx, path, image, &t);
    if (!r) r = genai__write_file(ctx, path, t.p, t.length);
    genai__text_free(&t);
    return r;
}

static genai_result genai__image_check(genai_ctx *ctx, const char *path, int n, int columns, int width, int height, int channels, const float *pixels) {
    if (!path || !pixels) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "image_save: %s is NULL", path ? "pixels" : "path");
    if (n < 1 || columns < 1) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: a grid of %d images in %d columns", path, n, columns);
    if (width < 1 || height < 1 || width > GENAI__IMAGE_SIDE || height > GENAI__IMAGE_SIDE || channels < 1 || channels > 4)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: %dx%dx%d is no picture (1 to %d a side, 1 to 4 channels)", path, width, height, channels, GENAI__IMAGE_SIDE);
    return GENAI_OK;
}

GENAI_API genai_result genai_image_save(genai_ctx *ctx, const char *path, int width, int height, int channels, const float *pixels) {
    genai__image image;
    genai_result r;
    if (!ctx) return GENAI_ERROR_ARGUMENT;
    if ((r = genai__image_check(ctx, path, 1, 1, width, height, channels, pixels)) || (r = genai__image_alloc(ctx, &image, width, height, channels)))
        return r;
    size_t n = (size_t)width * (size_t)height * (size_t)channels;
    for (size_t i = 0; i < n; i++) image.p[i] = genai__to_byte(pixels[i]);
    r = genai__image_write(ctx, path, &image);
    genai__free(ctx, image.p);
    return r;
}

enum { GENAI__GRID_GAP = 2, GENAI__GRID_GROUND = 40 };

/* One image into the grid at (left, top); with alpha, over squares of two greys. */
static void genai__grid_put(genai__image *grid, int left, int top, int width, int height, int channels, const float *pixels) {
    int alpha = channels == 2 || channels == 4, c = grid->channels, square = width < height ? width / 4 : height / 4, x, y, k;
    square = square < 1 ? 1 : square > 8 ? 8 : square;
    for (y = 0; y < height; y++)
        for (x = 0; x < width; x++, pixels += channels) {
            unsigned char *q = grid->p + ((size_t)(top + y) * (size_t)grid->width + (size_t)(left + x)) * (size_t)c;
            unsigned       a = alpha ? genai__to_byte(pixels[channels - 1]) : 255u, ground = (x / square + y / square) % 2 ? 104u : 128u;
            for (k = 0; k < c; k++) q[k] = (unsigned char)((genai__to_byte(pixels[k]) * a + ground * (255u - a) + 127u) / 255u);
        }
}

GENAI_API genai_result genai_image_save_grid(genai_ctx *ctx, const char *path, int n, int columns, int width, int height, int channels, const float *pixels) {
    genai__image grid;
    genai_result r;
    if (!ctx) return GENAI_ERROR_ARGUMENT;
    if ((r = genai__image_check(ctx, path, n, columns, width, height, channels, pixels))) return r;
    if (columns > n) columns = n;
    int rows = n / columns + (n % columns != 0);
    int64_t full_width = (int64_t)columns * (width + GENAI__GRID_GAP) + GENAI__GRID_GAP;
    int64_t full_height = (int64_t)rows * (height + GENAI__GRID_GAP) + GENAI__GRID_GAP;
    if (full_width > 4 * GENAI__IMAGE_SIDE || full_height > 4 * GENAI__IMAGE_SIDE)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: a grid of %d columns and %d rows of %dx%d is larger than %d pixels a side", path, columns, rows,
                           width, height, 4 * GENAI__IMAGE_SIDE);
    if ((r = genai__image_alloc(ctx, &grid, (int)full_width, (int)full_height, channels < 3 ? 1 : 3))) return r;
    size_t bytes = (size_t)width * (size_t)height * (size_t)channels;
    memset(grid.p, GENAI__GRID_GROUND, (size_t)full_width * (size_t)full_height * (size_t)grid.channels);
    for (int i = 0; i < n; i++)
        genai__grid_put(&grid, i % columns * (width + GENAI__GRID_GAP) + GENAI__GRID_GAP, i / columns * (height + GENAI__GRID_GAP) + GENAI__GRID_GAP, width,
                        height, channels, pixels + (size_t)i * bytes);
    r = genai__image_write(ctx, path, &grid);
    genai__free(ctx, grid.p);
    return r;
}

/* ====================================================================================================================
 * >>data (private)
 * A data set is 8-bit pixels [N,H,W,C] in one block, labels beside it, and perhaps a test set. Every source (IDX, CIFAR-10,
 * picture files, memory) hands its images one by one to genai__dataset_put, which resizes and converts them; where no
 * channel count is asked for, it starts at 1 and the block is widened when an image needs more. Nothing is shuffled or
 * kept as float: a batch finds its images through genai__permute. Sprites are not stored at all but drawn when asked for.
 * ================================================================================================================= */
struct genai_dataset {
    genai_ctx         *ctx;
    genai_dataset_info info;
    genai_dataset_desc desc;     /* resolved                                                             */
    genai_dataset     *test;
    unsigned char     *pixels;   /* NULL: endless                                                        */
    int               *labels;   /* NULL: none                                                           */
    genai__text        classes;  /* names, each ended by 0; empty: none                                  */
    uint64_t           base;     /* endless: index of the first sprite                                   */
    size_t             capacity; /* while images are put in                                              */
    unsigned char     *scratch;
    size_t             scratch_size;
    int                widen;    /* 1: as many channels as the images need                               */
    genai_dataset     *from, *to; /* of pairs                                                            */
    int                aligned, borrowed; /* borrowed: from and to are the test sets of others           */
};

static const char genai__cifar_classes[] = "airplane\0automobile\0bird\0cat\0deer\0dog\0frog\0horse\0ship\0truck";

GENAI_API void genai_dataset_destroy(genai_dataset *data) {
    if (!data) return;
    genai_dataset_destroy(data->test);
    if (!data->borrowed) {
        genai_dataset_destroy(data->from);
        genai_dataset_destroy(data->to);
    }
    genai__free(data->ctx, data->pixels);
    genai__free(data->ctx, data->labels);
    genai__free(data->ctx, data->scratch);
    genai__text_free(&data->classes);
    genai__free(data->ctx, data);
}

GENAI_API genai_dataset_info genai_dataset_describe(const genai_dataset *data) {
    genai_dataset_info none = GENAI__ZEROED;
    return data ? data->info : none;
}

GENAI_API genai_dataset *genai_dataset_test(genai_dataset *data) { return data ? data->test : NULL; }

GENAI_API const char *genai_dataset_class(const genai_dataset *data, int label) {
    const char *p = data ? data->classes.p : NULL;
    if (data && data->from) return genai_dataset_class(data->from, label);
    if (!p || label < 0 || label >= data->info.classes) return NULL;
    for (; label; label--) p += strlen(p) + 1;
    return p;
}

/* --- filling --- */
static size_t genai__dataset_bytes(const genai_dataset *data) { /* of one image; sides are limited, so it fits */
    return (size_t)data->info.width * (size_t)data->info.height * (size_t)data->info.channels;
}

static genai_result genai__dataset_check(genai_ctx *ctx, const char *what, const genai_dataset_desc *desc) {
    if (desc->width < 0 || desc->height < 0 || desc->width > GENAI__IMAGE_SIDE || desc->height > GENAI__IMAGE_SIDE)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: a size of %dx%d (0 for its own, at most %d a side)", what, desc->width, desc->height, GENAI__IMAGE_SIDE);
    if (desc->channels < 0 || desc->channels > 4)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: %d channels (1 grey, 2 grey + alpha, 3 RGB, 4 RGBA, 0 as needed)", what, desc->channels);
    if (!genai__finite(desc->holdout) || desc->holdout < 0.0f || desc->holdout >= 1.0f)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: the share held out must be at least 0 and below 1", what);
    return GENAI_OK;
}

/* data; nothing is left of it if r is an error. */
static genai_dataset *genai__dataset_unless(genai_result r, genai_dataset *data) {
    if (!r) return data;
    genai_dataset_destroy(data);
    return NULL;
}

/* An empty data set for up to capacity images, of desc's size, else width x height; channels 0: as the images need. */
static genai_dataset *genai__dataset_begin(genai_ctx *ctx, const genai_dataset_desc *desc, size_t capacity, int width, int height, int channels, int labels) {
    genai_dataset *data = (genai_dataset *)genai__alloc(ctx, 1, sizeof *data);
    size_t         n;
    if (!data) return NULL;
    data->ctx = data->classes.ctx = ctx;
    data->desc = *desc;
    data->widen = !desc->channels && !channels;
    data->info.width = desc->width ? desc->width : width;
    data->info.height = desc->height ? desc->height : height;
    data->info.channels = desc->channels ? desc->channels : channels ? channels : 1;
    data->capacity = capacity;
    if (!genai__mul(capacity, genai__dataset_bytes(data), &n)) n = (size_t)-1;
    data->pixels = (unsigned char *)genai__alloc(ctx, n, 1);
    if (data->pixels && labels) data->labels = (int *)genai__alloc(ctx, capacity, sizeof(int));
    return genai__dataset_unless(!data->pixels || (labels && !data->labels) ? GENAI_ERROR_MEMORY : GENAI_OK, data);
}

/* Makes the scratch memory large enough; what was in it is lost. */
static genai_result genai__dataset_scratch(genai_dataset *data, size_t bytes) {
    if (bytes <= data->scratch_size) return GENAI_OK;
    genai__free(data->ctx, data->scratch);
    data->scratch = (unsigned char *)genai__alloc(data->ctx, bytes, 1);
    data->scratch_size = data->scratch ? bytes : 0;
    return data->scratch ? GENAI_OK : GENAI_ERROR_MEMORY;
}

static genai_result genai__dataset_widen(genai_dataset *data, int channels) {
    size_t area = (size_t)data->info.width * (size_t)data->info.height, n;
    if (!genai__mul(data->capacity, area * (size_t)channels, &n)) n = (size_t)-1;
    unsigned char *wide = (unsigned char *)genai__alloc(data->ctx, n, 1);
    if (!wide) return GENAI_ERROR_MEMORY;
    genai__image_convert(data->pixels, data->info.channels, wide, channels, data->info.count * area);
    genai__free(data->ctx, data->pixels);
    data->pixels = wide;
    data->info.channels = channels;
    return GENAI_OK;
}

/* Adds one image. Its memory stays the caller's. */
static genai_result genai__dataset_put(genai_dataset *data, const genai__image *image, int label) {
    int    width = data->info.width, height = data->info.height, has = data->info.channels - 1, need;
    size_t area = (size_t)width * (size_t)height, bytes = area * (size_t)image->channels;
    const unsigned char *p = image->p;
    if (data->widen) {
        need = genai__image_needs(image->p, image->channels, (size_t)image->width * (size_t)image->height) - 1;
        if ((need | has) != has && genai__dataset_widen(data, (need | has) + 1)) return GENAI_ERROR_MEMORY; /* bit 0 alpha, bit 1 colour */
    }
    if (image->width != width || image->height != height) {
        GENAI__TRY(genai__dataset_scratch(data, bytes));
        genai__image_resize(image, width, height, data->desc.filter, data->scratch);
        p = data->scratch;
    }
    genai__image_convert(p, image->channels, data->pixels + data->info.count * genai__dataset_bytes(data), data->info.channels, area);
    if (data->labels) {
        data->labels[data->info.count] = label;
        if (label >= data->info.classes) data->info.classes = label + 1;
    }
    data->info.count++;
    return GENAI_OK;
}

/* How many of n images the test set gets. */
static size_t genai__holdout_count(float share, size_t n) {
    size_t k = (size_t)((double)share * (double)n + 0.5);
    return k < 1 ? 1 : k > n - 1 ? n - 1 : k;
}

/* Moves a random share of the images to a test set; both keep their order. Which, doesn't depend on the seed: what one model
 * hasn't seen, no other has either, and measures on it can be compared. */
static genai_result genai__dataset_holdout(genai_dataset *data, const char *what) {
    genai_ctx         *ctx = data->ctx;
    size_t             n = data->info.count, bytes = genai__dataset_bytes(data), i, kept = 0, k;
    genai_dataset_desc desc = data->desc;
    if (!(desc.holdout > 0.0f) || data->test) return GENAI_OK;
    if (n < 2) return genai__fail(ctx, GENAI_ERROR_DATA, "%s: nothing can be held out of %zu image", what, n);
    k = genai__holdout_count(desc.holdout, n);
    unsigned char *out = (unsigned char *)genai__alloc(ctx, n, 1);
    if (out) data->test = genai__dataset_begin(ctx, &desc, k, data->info.width, data->info.height, data->info.channels, data->labels != NULL);
    if (data->test) genai__text_bytes(&data->test->classes, data->classes.p, data->classes.length);
    if (!data->test || data->test->classes.failed) {
        genai__free(ctx, out);
        return GENAI_ERROR_MEMORY;
    }
    for (i = 0; i < k; i++) out[genai__permute(0, GENAI__STREAM_HOLDOUT, 0, n, i)] = 1;
    for (i = 0; i < n; i++) {
        genai_dataset *to = out[i] ? data->test : data;
        size_t         at = out[i] ? to->info.count++ : kept++;
        memmove(to->pixels + at * bytes, data->pixels + i * bytes, bytes);
        if (data->labels) to->labels[at] = data->labels[i];
    }
    data->info.count = kept;
    data->test->info.classes = data->info.classes;
    genai__free(ctx, out);
    return GENAI_OK;
}

/* The last step of every source. */
static genai_dataset *genai__dataset_finish(genai_dataset *data, const char *what) {
    if (!data) return NULL;
    genai_result r = genai__dataset_holdout(data, what);
    genai__free(data->ctx, data->scratch);
    data->scratch = NULL;
    return genai__dataset_unless(data->classes.failed ? GENAI_ERROR_MEMORY : r, data);
}

/* n images that lie one after the other, with labels as numbers, as bytes, or without. */
static genai_dataset *genai__dataset_block(genai_ctx *ctx, const char *what, const genai_dataset_desc *desc, size_t n, int width, int height, int channels,
                                           const unsigned char *pixels, const int *labels, const unsigned char *label_bytes) {
    genai_dataset *data = genai__dataset_begin(ctx, desc, n, width, height, channels, labels || label_bytes);
    genai__image   image = {width, height, channels, NULL};
    genai_result   r = GENAI_OK;
    for (size_t i = 0, bytes = (size_t)width * (size_t)height * (size_t)channels; data && !r && i < n; i++) {
        int label = labels ? labels[i] : label_bytes ? label_bytes[i] : 0;
        image.p = (unsigned char *)(uintptr_t)(pixels + i * bytes); /* only read */
        if (label < 0 || label == 0x7fffffff) r = genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: label %zu is %d", what, i, label);
        else r = genai__dataset_put(data, &image, label);
    }
    return genai__dataset_unless(r, data);
}

static genai_dataset_desc genai__dataset_desc(const genai_dataset_desc *desc) {
    genai_dataset_desc none = GENAI__ZEROED;
    return desc ? *desc : none;
}

GENAI_API genai_dataset *genai_dataset_memory(genai_ctx *ctx, size_t n, int width, int height, int channels, const unsigned char *pixels,
                                              const int *labels, const genai_dataset_desc *desc) {
    static const char  what[] = "dataset_memory";
    genai_dataset_desc d = genai__dataset_desc(desc);
    size_t             all;
    if (!ctx || genai__dataset_check(ctx, what, &d)) return NULL;
    if (!n || !pixels || width < 1 || height < 1 || width > GENAI__IMAGE_SIDE || height > GENAI__IMAGE_SIDE || channels < 1 || channels > 4)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: %zu images of %dx%dx%d%s (1 to %d a side, 1 to 4 channels)", what, n, width, height, channels,
                           pixels ? "" : " at NULL", GENAI__IMAGE_SIDE), GENAI__NULL;
    if (d.limit && d.limit < n) n = d.limit;
    if (!genai__mul(n, (size_t)width * (size_t)height * (size_t)channels, &all))
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: %zu images of %dx%dx%d are more than the address space", what, n, width, height, channels),
               GENAI__NULL;
    return genai__dataset_finish(genai__dataset_block(ctx, what, &d, n, width, height, channels, pixels, labels, NULL), what);
}

/* --- IDX --- */
typedef struct genai__idx {
    genai__bytes         bytes;
    size_t               dim[4];
    int                  ndim;
    const unsigned char *p; /* the elements */
} genai__idx;

/* Format: 0, 0, type (8: bytes), number of dims, each dim as 4 bytes, high first, then the elements (LeCun's MNIST page).
 * Everything is compared with the length of the file before it is believed. */
static genai_result genai__idx_read(genai_ctx *ctx, const char *path, genai__idx *x) {
    const genai__bytes *b = &x->bytes;
    size_t              count = 1, head;
    GENAI__TRY(genai__read_file(ctx, path, &x->bytes));
    if (b->n >= 2 && b->p[0] == 0x1f && b->p[1] == 0x8b)
        return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: is compressed; unpack it with gunzip first", path);
    if (b->n < 4) return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: %zu bytes are too few for an IDX file", path, b->n);
    if (b->p[0] || b->p[1] || b->p[2] != 8 || b->p[3] < 1 || b->p[3] > 4)
        return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: begins with %02x %02x %02x %02x, but an IDX file of bytes with 00 00 08 and 01 to 04", path,
                           (unsigned)b->p[0], (unsigned)b->p[1], (unsigned)b->p[2], (unsigned)b->p[3]);
    x->ndim = b->p[3];
    head = 4 + 4 * (size_t)x->ndim;
    if (b->n < head) return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: truncated at %zu bytes, within the header of %zu", path, b->n, head);
    for (int i = 0; i < x->ndim; i++) {
        x->dim[i] = genai__big_endian(b->p + 4 + 4 * i);
        if (!x->dim[i]) return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: dimension %d of %d is 0", path, i + 1, x->ndim);
        if (!genai__mul(count, x->dim[i], &count))
            return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: the product of its %d dimensions overflows at dimension %d, %zu", path, x->ndim, i + 1, x->dim[i]);
    }
    if (b->n - head != count)
        return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: %s: its header of %zu bytes says %zu bytes follow, but %zu do", path,
                           b->n - head < count ? "truncated" : "too long", head, count, b->n - head);
    x->p = b->p + head;
    return GENAI_OK;
}


static genai_dataset *genai__idx_images(genai_ctx *ctx, const char *path, const char *labels_path, const genai_dataset_desc *desc, genai__idx *x, genai__idx *y) {
    if (genai__idx_read(ctx, path, x) || (labels_path && genai__idx_read(ctx, labels_path, y))) return NULL;
    if (x->ndim < 3 || x->dim[1] > GENAI__IMAGE_SIDE || x->dim[2] > GENAI__IMAGE_SIDE || (x->ndim == 4 && x->dim[3] > 4))
        return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: %d dimensions (%zu %zu %zu %zu) are no images: N, height, width up to %d, and perhaps up to 4 channels",
                           path, x->ndim, x->dim[0], x->dim[1], x->dim[2], x->dim[3], GENAI__IMAGE_SIDE), GENAI__NULL;
    if (labels_path && (y->ndim != 1 || y->dim[0] != x->dim[0]))
        return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: %d dimensions, the first %zu, are not the labels of the %zu images in %s", labels_path, y->ndim,
                           y->dim[0], x->dim[0], path), GENAI__NULL;
    return genai__dataset_block(ctx, path, desc, desc->limit && desc->limit < x->dim[0] ? desc->limit : x->dim[0], (int)x->dim[2], (int)x->dim[1],
                                x->ndim == 4 ? (int)x->dim[3] : 1, x->p, NULL, labels_path ? y->p : NULL);
}

static genai_dataset *genai__idx_open(genai_ctx *ctx, const char *path, const char *labels_path, const genai_dataset_desc *desc) {
    genai__idx     x = GENAI__ZEROED, y = GENAI__ZEROED;
    genai_dataset *data = genai__idx_images(ctx, path, labels_path, desc, &x, &y);
    genai__free(ctx, x.bytes.p);
    genai__free(ctx, y.bytes.p);
    return data;
}

static int genai__can_open(genai_ctx *ctx, const char *path) {
    const genai_io *io = &ctx->desc.io;
    void           *file = io->open(io->user, path, 0);
    if (file) io->close(io->user, file);
    return file != NULL;
}

/* A single IDX file; its labels are looked for beside it: images -> labels and idx3 or idx4 -> idx1 in its name. */
static genai_dataset *genai__idx_open_file(genai_ctx *ctx, const char *path, const genai_dataset_desc *desc) {
    char *copy = genai__copy_text(ctx, path, strlen(path)), *p, *images = NULL, *idx = NULL;
    if (!copy) return NULL;
    for (p = copy; *p; p++) {
        if (!strncmp(p, "images", 6)) images = p;
        if (!strncmp(p, "idx3", 4) || !strncmp(p, "idx4", 4)) idx = p;
        if (*p == '/' || *p == '\\') images = idx = NULL;
    }
    if (images) memcpy(images, "labels", 6);
    if (idx) idx[3] = '1';
    genai_dataset *data = genai__idx_open(ctx, path, images && genai__can_open(ctx, copy) ? copy : NULL, desc);
    genai__free(ctx, copy);
    return data;
}

/* --- CIFAR-10 --- */
enum { GENAI__CIFAR_RECORD = 1 + 3 * 32 * 32 }; /* label, then the planes of red, green, blue */

static genai_result genai__cifar_put(genai_dataset *data, const char *path, const genai__bytes *b, size_t limit) {
    unsigned char pixels[3 * 32 * 32];
    genai__image  image = {32, 32, 3, NULL};
    size_t        i, n = b->n / GENAI__CIFAR_RECORD;
    genai_result  r = GENAI_OK;
    image.p = pixels;
    for (i = 0; !r && i < n && data->info.count < limit; i++) {
        const unsigned char *p = b->p + i * GENAI__CIFAR_RECORD;
        if (p[0] > 9) return genai__fail(data->ctx, GENAI_ERROR_FORMAT, "%s: record %zu of %zu has label %d; CIFAR-10 has 0 to 9", path, i, n, (int)p[0]);
        for (int k = 0; k < 1024; k++)
            for (int c = 0; c < 3; c++) pixels[3 * k + c] = p[1 + 1024 * c + k];
        r = genai__dataset_put(data, &image, p[0]);
    }
    return r;
}

/* The files are read one by one; the first pass counts records, so that the block has its size. */
static genai_dataset *genai__cifar_open(genai_ctx *ctx, const char *const *paths, size_t n, const genai_dataset_desc *desc) {
    genai_dataset *data = NULL;
    genai__bytes   b = GENAI__ZEROED;
    size_t         i, pass, total = 0;
    genai_result   r = GENAI_OK;
    for (pass = 0; pass < 2 && !r; pass++) {
        for (i = 0; i < n && !r; i++) {
            r = genai__read_file(ctx, paths[i], &b);
            if (!r && (!b.n || b.n % GENAI__CIFAR_RECORD))
                r = genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: %zu bytes are no whole number of CIFAR-10 records of %d", paths[i], b.n, (int)GENAI__CIFAR_RECORD);
            if (!r && pass) r = genai__cifar_put(data, paths[i], &b, total);
            else if (!r) total += b.n / GENAI__CIFAR_RECORD;
            genai__free(ctx, b.p);
        }
        if (pass || r) break;
        if (desc->limit && desc->limit < total) total = desc->limit;
        data = genai__dataset_begin(ctx, desc, total, 32, 32, 3, 1);
        if (!data) return NULL;
        genai__text_bytes(&data->classes, genai__cifar_classes, sizeof genai__cifar_classes);
        data->info.classes = 10;
        if (data->classes.failed) r = GENAI_ERROR_MEMORY;
    }
    return genai__dataset_unless(r, data);
}

/* --- folders --- */
#define GENAI__FOLDER_DEPTH 16

typedef struct genai__listed {
    const char *path; /* once the listing is sorted; until then */
    size_t      at;   /* where it begins in the listing's text  */
    int         depth, is_dir;
} genai__listed;

typedef struct genai__listing {
    genai__text   text;
    genai__listed *entry;
    size_t        count, capacity, root; /* root: length of the opened path with its slash */
    const char   *folder;                /* being read, and                                */
    int           depth;                 /* how deep its entries lie                       */
    size_t        others;                /* files of other kinds                           */
    int           too_deep, failed;
} genai__listing;

/* One name that io.list found: kept if it is a folder or has a known ending. Hidden files are not seen at all. */
static void genai__list_entry(void *to, const char *name, int is_dir) {
    genai__listing *l = (genai__listing *)to;
    size_t          length = strlen(l->folder);
    if (l->failed || name[0] == '.') return;
    if (!is_dir && !genai__has_ending(name, GENAI__IMAGE_ENDINGS " ubyte .gz .bin")) {
        l->others++;
        return;
    }
    if (is_dir && l->depth > GENAI__FOLDER_DEPTH) {
        l->too_deep = 1;
        return;
    }
    if (l->count == l->capacity) {
        size_t        capacity = l->capacity * 2 + 64;
        genai__listed *larger = (genai__listed *)genai__grow(l->text.ctx, l->entry, capacity, sizeof *larger);
        if (!larger) { l->failed = 1; return; }
        l->entry = larger;
        l->capacity = capacity;
    }
    const genai__listed e = {NULL, l->text.length, l->depth, is_dir};
    l->entry[l->count] = e;
    genai__text_bytes(&l->text, l->folder, length);
    if (length && l->folder[length - 1] != '/') genai__text_bytes(&l->text, "/", 1);
    genai__text_bytes(&l->text, name, strlen(name) + 1);
    l->failed |= l->text.failed;
    l->count++;
}

/* Bytewise order of paths, a folder's contents together: the same on every file system. */
static int genai__listed_order(const void *a, const void *b) {
    const unsigned char *p = (const unsigned char *)((const genai__listed *)a)->path, *q = (const unsigned char *)((const genai__listed *)b)->path;
    while (*p && *p == *q) { p++; q++; }
    return (*p == '/' ? 1 : *p) - (*q == '/' ? 1 : *q);
}

static void genai__list_sort(genai__listing *l) {
    for (size_t i = 0; i < l->count; i++) l->entry[i].path = l->text.p + l->entry[i].at;
    genai__sort(l->entry, l->count, sizeof *l->entry, genai__listed_order);
}

static int genai__list_folder(genai__listing *l, const char *path, int depth) { /* 0: it is no folder, or no memory */
    const genai_io *io = &l->text.ctx->desc.io;
    l->folder = path;
    l->depth = depth;
    return io->list && !io->list(io->user, path, genai__list_entry, l) && !l->failed;
}

static int genai__list_open(genai__listing *l, genai_ctx *ctx, const char *path) { /* its own entries only, sorted */
    memset(l, 0, sizeof *l);
    l->text.ctx = ctx;
    l->root = strlen(path);
    l->root += path[l->root - 1] != '/';
    if (!genai__list_folder(l, path, 1)) return 0;
    genai__list_sort(l);
    return 1;
}

static void genai__list_close(genai__listing *l) {
    genai__free(l->text.ctx, l->entry);
    genai__text_free(&l->text);
}

/* Goes through all sub-folders, then drops what is no picture and sorts the rest. */
static genai_result genai__list_pictures(genai__listing *l, const char *root) {
    genai_ctx *ctx = l->text.ctx;
    size_t     i, kept = 0;
    for (i = 0; i < l->count && !l->failed; i++) {
        const char *path = l->text.p + l->entry[i].at;
        if (!l->entry[i].is_dir) continue;
        char *copy = genai__copy_text(ctx, path, strlen(path)); /* the listing's text moves while it grows */
        if (!copy) return GENAI_ERROR_MEMORY;
        if (!genai__list_folder(l, copy, l->entry[i].depth + 1) && !l->failed) genai__warn(ctx, "%s: this folder can't be read and is left out", copy);
        genai__free(ctx, copy);
    }
    if (l->failed) return GENAI_ERROR_MEMORY;
    if (l->too_deep) genai__warn(ctx, "%s: folders nested deeper than %d are left out", root, GENAI__FOLDER_DEPTH);
    for (i = 0; i < l->count; i++) {
        if (l->entry[i].is_dir) continue;
        if (genai__has_ending(l->text.p + l->entry[i].at, GENAI__IMAGE_ENDINGS)) l->entry[kept++] = l->entry[i];
        else l->others++;
    }
    l->count = kept;
    genai__list_sort(l);
    return GENAI_OK;
}

/* --- folders of pictures --- */
/* Reads a file without making a failure the context's error: the caller skips what can't be read. */
static genai_result genai__read_quietly(genai_ctx *ctx, const char *path, genai__bytes *b, genai__reason *why) {
    genai_result was = ctx->result;
    ctx->result = GENAI_STOPPED; /* an error that stands already keeps genai__fail silent */
    genai_result r = genai__read_file(ctx, path, b);
    ctx->result = was;
    if (!r) return GENAI_OK;
    if (r == GENAI_ERROR_MEMORY) return genai__fail(ctx, r, "%s: out of memory while it was read", path);
    return genai__refuse(why, r, "can't be read");
}

typedef struct genai__vote { size_t size, count; } genai__vote;

/* The size that most pictures have, of the first 256 different ones; the larger one wins a tie. */
static genai_result genai__folder_size(genai_ctx *ctx, genai__listing *l, size_t n, const char *path, genai_dataset_desc *desc) {
    genai__vote  vote[256], best = {0, 0};
    size_t       i, k, votes = 0;
    genai__reason why;
    genai__bytes b;
    for (i = 0; i < n; i++) {
        int          width = 0, height = 0;
        genai_result r = genai__read_quietly(ctx, l->entry[i].path, &b, &why);
        if (!r) r = genai__image_header(&b, &width, &height, &why);
        genai__free(ctx, b.p);
        if (r == GENAI_ERROR_MEMORY) return r;
        if (r) continue;
        size_t size = (size_t)width << 16 | (size_t)height;
        for (k = 0; k < votes && vote[k].size != size; k++) {}
        if (k == GENAI__COUNT(vote)) continue;
        if (k == votes) { vote[votes].size = size; vote[votes++].count = 0; }
        vote[k].count++;
    }
    for (k = 0; k < votes; k++)
        if (vote[k].count > best.count || (vote[k].count == best.count && vote[k].size > best.size)) best = vote[k];
    if (!best.count) best.size = (size_t)1 << 16 | 1; /* nothing is readable: the next pass says why */
    if (!desc->width) desc->width = (int)(best.size >> 16);
    if (!desc->height) desc->height = (int)(best.size & 0xffff);
    if (desc->width > 2048 || desc->height > 2048)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: most pictures are %dx%d; larger than 2048 a side, the wanted width and height must be given", path,
                           (int)(best.size >> 16), (int)(best.size & 0xffff));
    return GENAI_OK;
}

/* The label of entry i: the running number of its first-level folder; `.` is the root where there are both. */
static int genai__folder_label(genai_dataset *data, const genai__listing *l, size_t i, size_t *last, int *label) {
    const char *name = l->entry[i].path + l->root, *before = *last == (size_t)-1 ? NULL : l->entry[*last].path + l->root;
    size_t      length = strcspn(name, "/");
    if (!name[length]) return 0;
    if (!before || strncmp(name, before, length + 1)) {
        genai__text_bytes(&data->classes, name, length);
        genai__text_bytes(&data->classes, "", 1);
        ++*label;
        *last = i;
    }
    return *label;
}

static genai_dataset *genai__folder_fill(genai_ctx *ctx, genai__listing *l, size_t n, const char *path, const genai_dataset_desc *desc) {
    genai__reason why = GENAI__ZEROED;
    genai__bytes  b;
    genai__image  image;
    size_t        i, rooted = 0, last = (size_t)-1, other_size = 0;
    int           label, unsupported = 0;
    genai_result  r = GENAI_OK;
    for (i = 0; i < n; i++) rooted += !strchr(l->entry[i].path + l->root, '/');
    genai_dataset *data = genai__dataset_begin(ctx, desc, n, desc->width, desc->height, 0, rooted < n);
    if (!data) return NULL;
    if (rooted && rooted < n) genai__text_bytes(&data->classes, ".", 2);
    label = rooted && rooted < n ? 0 : -1;
    for (i = 0; i < n && !r; i++) {
        const char *file = l->entry[i].path;
        int         class_of = genai__folder_label(data, l, i, &last, &label);
        r = genai__read_quietly(ctx, file, &b, &why);
        if (!r) r = genai__image_decode(ctx, &b, &image, &why);
        genai__free(ctx, b.p);
        if (!r) {
            other_size += image.width != data->info.width || image.height != data->info.height;
            r = genai__dataset_put(data, &image, class_of);
            genai__free(ctx, image.p);
        } else if (r != GENAI_ERROR_MEMORY) {
            if (data->info.skipped++ < 5) genai__warn(ctx, "%s: skipped: %s", file, why.text);
            unsupported |= r == GENAI_ERROR_UNSUPPORTED;
            r = GENAI_OK;
        }
    }
    if (!r && data->labels) data->info.classes = label + 1;
    if (!r && data->info.skipped > 5) genai__warn(ctx, "%s: %zu of %zu files were skipped", path, data->info.skipped, n);
    if (!r && !data->info.count)
        r = genai__fail(ctx, unsupported ? GENAI_ERROR_UNSUPPORTED : GENAI_ERROR_DATA, "%s: none of its %zu pictures can be used; the last, %s: %s", path, n,
                        l->entry[n - 1].path, why.text);
    if (!r && other_size) {
        char text[256];
        snprintf(text, sizeof text, "%zu of %zu pictures were resized to %dx%d", other_size, data->info.count, data->info.width, data->info.height);
        genai__log_to(&ctx->desc, GENAI_LOG_INFO, text);
    }
    return genai__dataset_unless(r, data);
}

static genai_dataset *genai__folder_open(genai_ctx *ctx, genai__listing *l, const char *path, const genai_dataset_desc *desc) {
    genai_dataset_desc d = *desc;
    if (genai__list_pictures(l, path)) return NULL;
    size_t n = l->count;
    if (!n)
        return genai__fail(ctx, GENAI_ERROR_DATA, "%s: no pictures: looked for .png .jpg .jpeg .bmp .pgm .ppm .pam in it and its folders, "
                           "train-images-idx3-ubyte and data_batch_1.bin; %zu other files are there", path, l->others), GENAI__NULL;
    if (d.limit && d.limit < n) { /* spread over all classes */
        for (size_t i = 0; i < d.limit; i++) l->entry[i] = l->entry[(size_t)((double)i * (double)n / (double)d.limit)];
        n = d.limit;
    }
    if ((!d.width || !d.height) && genai__folder_size(ctx, l, n, path, &d)) return NULL;
    return genai__folder_fill(ctx, l, n, path, &d);
}

/* --- opening --- */
/* The file in the opened folder whose name begins and ends so, from entry i on; NULL if there is none. */
static const char *genai__list_find(const genai__listing *l, size_t *i, const char *begin, const char *ends) {
    for (; *i < l->count; ++*i) {
        const char *path = l->entry[*i].path;
        if (!l->entry[*i].is_dir && !strncmp(path + l->root, begin, strlen(begin)) && genai__has_ending(path, ends)) return path;
    }
    return NULL;
}
static const char *genai__list_first(const genai__listing *l, const char *begin, const char *ends) {
    size_t i = 0;
    return genai__list_find(l, &i, begin, ends);
}

static const char *const genai__parts[2][2] = {{"train-images", "t10k-images"}, {"data_batch", "test_batch"}}; /* [CIFAR][test] */
static const char *const genai__part_ends[2] = {"ubyte ubyte.gz", ".bin"};

static genai_dataset *genai__part_open(genai_ctx *ctx, const genai__listing *l, int cifar, int test, const genai_dataset_desc *desc) {
    size_t n = 0, i = 0;
    if (!cifar)
        return genai__idx_open(ctx, genai__list_first(l, genai__parts[0][test], genai__part_ends[0]),
                               genai__list_first(l, test ? "t10k-labels" : "train-labels", genai__part_ends[0]), desc);
    const char **paths = (const char **)genai__alloc(ctx, l->count, sizeof *paths);
    if (!paths) return NULL;
    for (; (paths[n] = genai__list_find(l, &i, genai__parts[1][test], genai__part_ends[1])) != NULL && ++n < l->count; i++) {}
    genai_dataset *data = genai__cifar_open(ctx, paths, n, desc);
    genai__free(ctx, paths);
    return data;
}

/* A folder with the files of MNIST or CIFAR-10 and their like. */
static genai_dataset *genai__parts_open(genai_ctx *ctx, const genai__listing *l, int cifar, const char *path, const genai_dataset_desc *desc) {
    genai_dataset_desc d = *desc;
    int                test = desc->test != 0;
    if (!genai__list_first(l, genai__parts[cifar][test], genai__part_ends[cifar]))
        return genai__fail(ctx, GENAI_ERROR_DATA, "%s: has %s files but no %s", path, genai__parts[cifar][!test], genai__parts[cifar][test]), GENAI__NULL;
    genai_dataset *data = genai__part_open(ctx, l, cifar, test, desc);
    if (!data || test || !genai__list_first(l, genai__parts[cifar][1], genai__part_ends[cifar])) return data;
    d.width = data->info.width;
    d.height = data->info.height;
    d.channels = data->info.channels;
    data->test = genai__part_open(ctx, l, cifar, 1, &d);
    if (!data->test) return genai__dataset_unless(GENAI_ERROR_DATA, data);
    if (data->test->info.classes > data->info.classes) data->info.classes = data->test->info.classes;
    data->test->info.classes = data->info.classes;
    return data;
}

static genai_dataset *genai__picture_open(genai_ctx *ctx, const char *path, const genai__bytes *b, const genai_dataset_desc *desc) {
    genai__image  image;
    genai__reason why;
    genai_result  r = genai__image_decode(ctx, b, &image, &why);
    if (r && r != GENAI_ERROR_MEMORY) genai__fail(ctx, r, "%s: %s", path, why.text);
    if (r) return NULL;
    genai_dataset *data = genai__dataset_begin(ctx, desc, 1, image.width, image.height, 0, 0);
    if (data) data = genai__dataset_unless(genai__dataset_put(data, &image, 0), data);
    genai__free(ctx, image.p);
    return data;
}

static genai_dataset *genai__single_open(genai_ctx *ctx, const char *path, const genai_dataset_desc *desc) {
    genai__bytes b = GENAI__ZEROED;
    const char  *name = path;
    for (const char *p = path; *p; p++)
        if (*p == '/' || *p == '\\') name = p + 1;
    if (strstr(name, "idx")) return genai__idx_open_file(ctx, path, desc);
    if (genai__has_ending(name, ".bin")) return genai__cifar_open(ctx, &path, 1, desc);
    if (genai__read_file(ctx, path, &b)) return NULL;
    if (b.n >= 4 && !b.p[0] && !b.p[1] && b.p[2] >= 8 && b.p[2] <= 14) {
        genai__free(ctx, b.p);
        return genai__idx_open_file(ctx, path, desc);
    }
    genai_dataset *data = genai__picture_open(ctx, path, &b, desc);
    genai__free(ctx, b.p);
    return data;
}

GENAI_API genai_dataset *genai_dataset_open(genai_ctx *ctx, const char *path, const genai_dataset_desc *desc) {
    genai_dataset_desc d = genai__dataset_desc(desc);
    genai_dataset     *data = NULL;
    genai__listing     l;
    int                kind;
    if (!ctx) return NULL;
    if (!path || !*path) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "dataset_open: the path is empty"), GENAI__NULL;
    if (genai__dataset_check(ctx, path, &d)) return NULL;
    if (genai__list_open(&l, ctx, path)) {
        for (kind = 0; kind < 2; kind++)
            if (genai__list_first(&l, genai__parts[kind][0], genai__part_ends[kind]) || genai__list_first(&l, genai__parts[kind][1], genai__part_ends[kind])) break;
        data = kind < 2 ? genai__parts_open(ctx, &l, kind, path, &d) : genai__folder_open(ctx, &l, path, &d);
    } else if (!l.failed) data = genai__single_open(ctx, path, &d);
    genai__list_close(&l);
    return genai__dataset_finish(data, path);
}

/* --- sprites --- */
/* A sprite is drawn on a grid of up to 48x48 cells, from parts: shapes that are mirrored left to right, shaded from the top
 * left in four tones of a colour, with a dark line around the whole and where a part lies over another. Coordinates run
 * from -1024 to 1024 both ways, 64 being a pixel at 32x32. Integers only. */
#define GENAI__CELLS 48

enum { GENAI__RED, GENAI__ORANGE, GENAI__GOLD, GENAI__LEAF, GENAI__TEAL, GENAI__SKY, GENAI__INDIGO, GENAI__VIOLET, GENAI__PINK, GENAI__BROWN,
       GENAI__STEEL, GENAI__BONE, GENAI__WHITE, GENAI__INK, GENAI__FIRE };

static const uint32_t genai__tones[][4] = { /* line, shade, base, light: shades lean to blue, lights to yellow */
    {0x3a1020, 0x8c1f3a, 0xd43a4a, 0xff8a70}, {0x4a1c10, 0xa8431a, 0xee7c2b, 0xffc15a}, {0x4a2c0c, 0xb0701c, 0xf0b42c, 0xfff08a},
    {0x12301c, 0x27703a, 0x52b548, 0xb4e85c}, {0x0c2a38, 0x17697a, 0x2bb3a6, 0x8df0c8}, {0x141f4a, 0x2a55a8, 0x3f94e8, 0x8fdcff},
    {0x1c1440, 0x43309a, 0x6c5ce0, 0xa9a8ff}, {0x2a0f40, 0x6a2a96, 0xaa4fd6, 0xe6a0ff}, {0x401030, 0x96306e, 0xe0589c, 0xffaac8},
    {0x2a1610, 0x6a3a26, 0xa8683c, 0xdca868}, {0x1a1e2c, 0x4a566e, 0x8592aa, 0xd4e0ec}, {0x352a26, 0x9a8a78, 0xd8cbb0, 0xfff8e0},
    {0x5a6478, 0xb8c4d4, 0xf4f8ff, 0xffffff}, {0x14101c, 0x14101c, 0x1c1826, 0x3a3648}, {0x8a2010, 0xf05a1c, 0xffb02c, 0xfff4a0}};

static const unsigned char genai__harmony[9][4] = { /* what goes with each of the first nine */
    {GENAI__GOLD, GENAI__BONE, GENAI__TEAL, GENAI__STEEL},  {GENAI__BONE, GENAI__TEAL, GENAI__INDIGO, GENAI__BROWN}, {GENAI__RED, GENAI__INDIGO, GENAI__BROWN, GENAI__TEAL},
    {GENAI__GOLD, GENAI__BONE, GENAI__PINK, GENAI__BROWN},  {GENAI__ORANGE, GENAI__BONE, GENAI__GOLD, GENAI__INDIGO}, {GENAI__GOLD, GENAI__BONE, GENAI__ORANGE, GENAI__STEEL},
    {GENAI__GOLD, GENAI__PINK, GENAI__TEAL, GENAI__STEEL},  {GENAI__GOLD, GENAI__TEAL, GENAI__BONE, GENAI__PINK},     {GENAI__BONE, GENAI__GOLD, GENAI__VIOLET, GENAI__SKY}};

enum { GENAI__DIAMOND, GENAI__ELLIPSE, GENAI__ROUNDED, GENAI__BOX };                            /* shape                     */
enum { GENAI__LINE, GENAI__SHADE, GENAI__BASE, GENAI__LIGHT, GENAI__ROUND, GENAI__RIDGE, GENAI__FACET }; /* one tone, or a way to shade */

typedef struct genai__canvas {
    const genai_ctx *ctx;
    uint64_t         index; /* of the sprite                          */
    uint32_t         rolls;
    int              cells, part, top, bottom; /* parts are cut off above top and below bottom */
    unsigned char    colour[GENAI__CELLS * GENAI__CELLS]; /* 4*ramp + tone + 1; 0: nothing */
    unsigned char    owner[GENAI__CELLS * GENAI__CELLS];  /* the part, counted from 1; its lines are drawn if it is even */
} genai__canvas;

static int genai__roll(genai__canvas *c, int sides) { /* 0..sides-1 */
    genai__counter r = genai__draw(c->ctx->desc.seed, GENAI__STREAM_SPRITE, c->index, 0, c->rolls / 4);
    return (int)((uint64_t)r.w[c->rolls++ % 4] * (uint64_t)sides >> 32);
}

static int genai__tone(int way, int u, int v) {
    int light = -(3 * u + 5 * v);
    switch (way) {
        case GENAI__ROUND: return light > 2900 ? GENAI__LIGHT : light < -2300 ? GENAI__SHADE : GENAI__BASE;
        case GENAI__RIDGE: return u < 0 ? GENAI__LIGHT : GENAI__BASE;
        case GENAI__FACET: return u < -380 ? GENAI__LIGHT : u > 380 ? GENAI__SHADE : GENAI__BASE;
        default: return way;
    }
}

/* Paints a shape around (x, y) and, for x other than 0, its mirror image: half sizes rx, ry, narrower at the top and wider
 * at the bottom by taper. side: only the one at x. */
static void genai__paint(genai__canvas *c, int shape, int x, int y, int rx, int ry, int taper, int ramp, int way, int lines, int side) {
    int n = c->cells, half = 1024 / n, i, j;
    if (rx < half) rx = half;
    if (ry < half) ry = half;
    c->part = (c->part | 1) + (lines ? 1 : 2);
    for (j = 0; j < n; j++) {
        int py = (2 * j + 1 - n) * 1024 / n, v = (py - y) * 1024 / ry, width;
        if (v < -1024 || v > 1024 || py < c->top || py > c->bottom) continue;
        width = rx + taper * v / 1024;
        if (width < half) width = half;
        for (i = 0; i < n; i++) {
            int px = (2 * i + 1 - n) * 1024 / n, dx = side || x == 0 ? px - x : px < 0 ? px + x : px - x, u, a, b, inside;
            if (dx < -width || dx > width) continue;
            u = dx * 1024 / width;
            a = u * u / 1024;
            b = v * v / 1024;
            inside = shape == GENAI__BOX || (shape == GENAI__DIAMOND && (u < 0 ? -u : u) + (v < 0 ? -v : v) <= 1024)
                  || (shape == GENAI__ELLIPSE && a + b <= 1024) || (shape == GENAI__ROUNDED && (a * a + b * b) / 1024 <= 1024);
            if (!inside) continue;
            c->colour[j * n + i] = (unsigned char)(4 * ramp + genai__tone(way, u, v) + 1);
            c->owner[j * n + i] = (unsigned char)c->part;
        }
    }
}
/* A part with a line around it, and a flat detail without. */
static void genai__part(genai__canvas *c, int shape, int x, int y, int rx, int ry, int taper, int ramp) {
    genai__paint(c, shape, x, y, rx, ry, taper, ramp, GENAI__ROUND, 1, 0);
}
static void genai__detail(genai__canvas *c, int shape, int x, int y, int rx, int ry, int ramp, int tone) {
    genai__paint(c, shape, x, y, rx, ry, 0, ramp, tone, 0, 0);
}
static void genai__glint(genai__canvas *c, int x, int y, int rx, int ry) {
    genai__paint(c, GENAI__ELLIPSE, x, y, rx, ry, 0, GENAI__WHITE, GENAI__LIGHT, 0, 1);
}

static void genai__draw_creature(genai__canvas *c, int ramp, int accent) {
    int rx = 500 + 50 * genai__roll(c, 4), ry = 460 + 50 * genai__roll(c, 4), y = 760 - ry, top = y - ry, eye = y - ry / 4, crown = genai__roll(c, 5);
    int shape = genai__roll(c, 3) ? GENAI__ELLIPSE : GENAI__ROUNDED, eyes = genai__roll(c, 4), k;
    if (crown == 0) {
        genai__part(c, GENAI__ELLIPSE, rx * 3 / 4, top + 80, 190, 190, 0, ramp);
        genai__detail(c, GENAI__ELLIPSE, rx * 3 / 4, top + 80, 90, 90, accent, GENAI__BASE);
    } else if (crown == 1) genai__part(c, GENAI__BOX, rx * 2 / 3, top - 10, 120, 220, 110, ramp);
    else if (crown == 2) genai__part(c, GENAI__BOX, rx * 3 / 4, top, 80, 240, 70, GENAI__BONE);
    else if (crown == 3) {
        genai__detail(c, GENAI__BOX, 190, top - 20, 32, 160, ramp, GENAI__SHADE);
        genai__part(c, GENAI__ELLIPSE, 190, top - 130, 100, 100, 0, accent);
    } else
        for (k = 0; k < 2; k++) genai__part(c, GENAI__BOX, 220 * (1 - k), top - 60 * k, 100, 200, 95, accent);
    if (genai__roll(c, 2)) genai__part(c, GENAI__ELLIPSE, rx + 10, y + 120, 130, 200, 0, ramp);
    genai__part(c, GENAI__ELLIPSE, rx / 2, 780, 200, 120, 0, accent);
    genai__part(c, shape, 0, y, rx, ry, 0, ramp);
    if (genai__roll(c, 3)) genai__detail(c, GENAI__ELLIPSE, 0, y + ry * 5 / 8, rx * 5 / 8, ry * 3 / 8, accent, GENAI__LIGHT);
    if (eyes == 0) {
        genai__part(c, GENAI__ELLIPSE, 0, eye, 240, 230, 0, GENAI__WHITE);
        genai__detail(c, GENAI__ELLIPSE, 0, eye + 20, 110, 130, GENAI__INK, GENAI__BASE);
        genai__glint(c, -50, eye - 50, 40, 40);
    } else if (eyes == 1) {
        genai__detail(c, GENAI__ELLIPSE, rx * 3 / 8, eye, 80, 130, GENAI__INK, GENAI__BASE);
        for (k = -1; k < 2; k += 2) genai__glint(c, k * rx * 3 / 8 - 32, eye - 64, 32, 32);
    } else {
        genai__detail(c, GENAI__ELLIPSE, rx * 7 / 16, eye, 150, 170, GENAI__WHITE, GENAI__BASE);
        genai__detail(c, GENAI__ELLIPSE, rx * 7 / 16 - 32, eye + 20, 70, 100, GENAI__INK, GENAI__BASE);
    }
    genai__detail(c, GENAI__BOX, 0, y + ry * 5 / 16, 100 + 50 * genai__roll(c, 3), 32, ramp, GENAI__LINE);
    if (genai__roll(c, 2)) genai__detail(c, GENAI__BOX, 96, y + ry * 5 / 16 + 64, 32, 32, GENAI__WHITE, GENAI__BASE);
}

static void genai__draw_ship(genai__canvas *c, int ramp, int accent) {
    int rx = 210 + 30 * genai__roll(c, 4), wing = genai__roll(c, 3), span = 380 + 40 * genai__roll(c, 4), jets = genai__roll(c, 2), x = jets ? 190 : 0;
    genai__detail(c, GENAI__ELLIPSE, x, 740, 110, 220, GENAI__FIRE, GENAI__SHADE);
    genai__detail(c, GENAI__ELLIPSE, x, 710, 64, 150, GENAI__FIRE, GENAI__LIGHT);
    if (genai__roll(c, 2)) genai__part(c, GENAI__ROUNDED, span + 250, 160, 70, 300, 0, GENAI__STEEL);
    if (wing == 0) genai__part(c, GENAI__BOX, 0, 280, span + 60, 330, span - 60, accent);
    else if (wing == 1) genai__part(c, GENAI__BOX, 0, 320, span, 300, -span / 2, accent);
    else {
        genai__part(c, GENAI__BOX, 0, 380, span, 260, span * 3 / 4, accent);
        genai__part(c, GENAI__BOX, 0, -260, span * 5 / 8, 160, span / 3, accent);
    }
    genai__part(c, GENAI__ROUNDED, x ? x : 0, 540, x ? 110 : 160, 110, 0, GENAI__STEEL);
    if (genai__roll(c, 2)) genai__part(c, GENAI__ELLIPSE, 0, -60, rx, 840, 0, ramp);
    else genai__part(c, GENAI__ROUNDED, 0, -100, rx, 760, rx / 3, ramp);
    genai__detail(c, GENAI__BOX, 0, 300, rx * 3 / 4, 40, accent, GENAI__LIGHT);
    genai__part(c, GENAI__ELLIPSE, 0, -270, 140, 210, 0, GENAI__SKY);
    genai__glint(c, -48, -340, 40, 90);
}

static void genai__draw_robot(genai__canvas *c, int ramp, int accent) {
    int rx = 420 + 50 * genai__roll(c, 4), ry = 290 + 30 * genai__roll(c, 3), y = -330, body = 320 + 40 * genai__roll(c, 3), face = genai__roll(c, 3);
    int metal = genai__roll(c, 2) ? GENAI__STEEL : ramp;
    genai__detail(c, GENAI__BOX, genai__roll(c, 2) ? 0 : 256, -720, 32, 130, GENAI__STEEL, GENAI__SHADE);
    genai__part(c, GENAI__BOX, rx + 40, y, 80, 130, 0, accent);
    genai__part(c, GENAI__ROUNDED, body + 110, 330, 100, 230, 0, metal);
    genai__part(c, GENAI__ROUNDED, 210, 800, 170, 110, 0, accent);
    genai__part(c, GENAI__ROUNDED, 0, 380, body, 350, 0, metal);
    genai__part(c, GENAI__ROUNDED, 0, y, rx, ry, 0, ramp);
    if (face == 0) {
        genai__detail(c, GENAI__ROUNDED, 0, y - 10, rx * 3 / 4, 130, GENAI__INK, GENAI__BASE);
        genai__detail(c, GENAI__ELLIPSE, rx * 3 / 8, y - 10, 70, 70, accent, GENAI__LIGHT);
    } else if (face == 1) {
        genai__detail(c, GENAI__ELLIPSE, rx / 2, y - 40, 150, 150, GENAI__INK, GENAI__BASE);
        genai__detail(c, GENAI__ELLIPSE, rx / 2, y - 40, 90, 90, accent, GENAI__LIGHT);
    } else {
        genai__detail(c, GENAI__ROUNDED, 0, y - 30, 220, 160, GENAI__INK, GENAI__BASE);
        genai__detail(c, GENAI__ELLIPSE, 0, y - 30, 110, 100, GENAI__RED, GENAI__BASE);
        genai__glint(c, -40, y - 60, 40, 40);
    }
    genai__detail(c, GENAI__BOX, 0, y + ry * 5 / 8, rx / 2, 32, ramp, GENAI__LINE);
    genai__detail(c, GENAI__ROUNDED, 0, 400, body * 5 / 8, 150, GENAI__INK, GENAI__LIGHT);
    genai__detail(c, GENAI__ELLIPSE, 96, 400, 64, 64, accent, GENAI__BASE);
}

static void genai__draw_potion(genai__canvas *c, int ramp, int accent) {
    static const int shapes[3] = {GENAI__ELLIPSE, GENAI__ROUNDED, GENAI__ROUNDED};
    int              kind = genai__roll(c, 3), rx = 540 + 40 * genai__roll(c, 4) - (kind == 1 ? 80 : 0), ry = 490, y = 360, taper = kind == 2 ? 160 : 0;
    int              level = 60 + 90 * genai__roll(c, 4);
    rx -= kind == 2 ? 100 : 0;
    genai__part(c, GENAI__ROUNDED, 0, -720, 150, 170, 0, GENAI__BROWN);
    genai__part(c, GENAI__BOX, 0, -330, 190, 300, 0, GENAI__WHITE);
    genai__part(c, shapes[kind], 0, y, rx, ry, taper, GENAI__WHITE);
    genai__detail(c, GENAI__BOX, 0, -200, 150, 180, GENAI__WHITE, GENAI__SHADE);
    c->top = level;
    genai__paint(c, shapes[kind], 0, y, rx - 80, ry - 70, taper, ramp, GENAI__ROUND, 0, 0);
    c->bottom = level + 80;
    genai__detail(c, shapes[kind], 0, y, rx - 90 - taper / 2, ry - 70, ramp, GENAI__LIGHT);
    c->top = -1024;
    c->bottom = 1024;
    genai__part(c, GENAI__ROUNDED, 0, -560, 270, 80, 0, accent);
    genai__paint(c, GENAI__ELLIPSE, 160, level + 190, 64, 64, 0, ramp, GENAI__LIGHT, 0, 1);
    genai__paint(c, GENAI__ELLIPSE, -64, level + 320, 40, 40, 0, ramp, GENAI__LIGHT, 0, 1);
    genai__glint(c, -rx / 2, y - 130, 64, 130);
}

static void genai__draw_sword(genai__canvas *c, int ramp, int accent) {
    static const int metals[4] = {GENAI__STEEL, GENAI__STEEL, GENAI__SKY, GENAI__BONE};
    int              metal = genai__roll(c, 5), w = 120 + 32 * genai__roll(c, 3), guard = 330 + 50 * genai__roll(c, 4), leaf = genai__roll(c, 3) ? 0 : 50;
    int              hilt = 330 + 64 * genai__roll(c, 2);
    metal = metal < 4 ? metals[metal] : ramp;
    genai__paint(c, GENAI__BOX, 0, -810, w / 2 + 8, 130, w / 2 - 8, metal, GENAI__RIDGE, 0, 0);
    genai__paint(c, GENAI__BOX, 0, (hilt - 690) / 2, w + leaf / 2, (hilt + 690) / 2, -leaf, metal, GENAI__RIDGE, 0, 0);
    if (genai__roll(c, 2)) genai__detail(c, GENAI__BOX, 0, (hilt - 500) / 2, 64, (hilt + 400) / 2, metal, GENAI__SHADE);
    genai__part(c, GENAI__BOX, 0, (hilt + 800) / 2, 90, (800 - hilt) / 2, 0, GENAI__BROWN);
    genai__part(c, GENAI__ROUNDED, 0, hilt, guard, 90, 0, accent);
    if (genai__roll(c, 2)) genai__part(c, GENAI__ELLIPSE, guard - 20, hilt, 110, 130, 0, accent);
    genai__part(c, GENAI__ELLIPSE, 0, 800, 150, 130, 0, accent);
    genai__part(c, GENAI__DIAMOND, 0, hilt, 130, 130, 0, ramp);
}

static void genai__draw_gem(genai__canvas *c, int ramp, int accent) {
    int w = 640 + 50 * genai__roll(c, 4), kind = genai__roll(c, 3), k;
    (void)accent;
    if (kind == 0) { /* brilliant: crown, pavilion */
        genai__paint(c, GENAI__BOX, 0, -360, w * 4 / 5, 260, w / 5, ramp, GENAI__FACET, 0, 0);
        genai__paint(c, GENAI__BOX, 0, 340, w / 2, 440, -w / 2, ramp, GENAI__FACET, 1, 0);
        genai__detail(c, GENAI__BOX, 0, -440, w * 3 / 8, 120, ramp, GENAI__LIGHT);
    } else if (kind == 1) { /* crystal */
        w = w * 11 / 16;
        genai__paint(c, GENAI__BOX, 0, -620, w / 2, 240, w / 2, ramp, GENAI__FACET, 0, 0);
        genai__paint(c, GENAI__BOX, 0, 640, w / 2, 220, -w / 2, ramp, GENAI__FACET, 1, 0);
        genai__paint(c, GENAI__BOX, 0, 20, w, 400, 0, ramp, GENAI__FACET, 1, 0);
    } else { /* cut square */
        genai__paint(c, GENAI__ROUNDED, 0, 0, w, w, 0, ramp, GENAI__ROUND, 1, 0);
        for (k = 0; k < 2; k++) genai__paint(c, GENAI__DIAMOND, 0, 0, w * (9 - 3 * k) / 10, w * (9 - 3 * k) / 10, 0, ramp, k ? GENAI__FACET : GENAI__BASE, k, 0);
    }
    genai__glint(c, -w * 3 / 8, -330, 64, 64);
}

static const struct {
    const char *name;
    void (*draw)(genai__canvas *c, int ramp, int accent);
} genai__sprites[] = {{"creature", genai__draw_creature}, {"ship", genai__draw_ship}, {"robot", genai__draw_robot},
                      {"potion", genai__draw_potion}, {"sword", genai__draw_sword}, {"gem", genai__draw_gem}};

/* Lines: an empty cell beside the figure, and a cell beside a part that lies over it and has lines, turn dark. */
static void genai__draw_lines(genai__canvas *c, int ramp) {
    static const int step[4][2] = {{0, -1}, {-1, 0}, {1, 0}, {0, 1}};
    int              n = c->cells, i, j, k;
    unsigned char    before[GENAI__CELLS * GENAI__CELLS];
    memcpy(before, c->colour, sizeof before);
    if (n < 12) return; /* too small for lines */
    for (j = 0; j < n; j++)
        for (i = 0; i < n; i++)
            for (k = 0; k < 4; k++) {
                int x = i + step[k][0], y = j + step[k][1], at = j * n + i, to = y * n + x;
                if (x < 0 || y < 0 || x >= n || y >= n || !before[to]) continue;
                if (!before[at]) c->colour[at] = (unsigned char)(4 * ramp + 1);
                else if (c->owner[to] > c->owner[at] && c->owner[to] % 2 == 0) c->colour[at] = (unsigned char)((before[at] - 1) / 4 * 4 + 1);
            }
}

/* Sprite number `index` as RGBA of width x height; returns its class. */
static int genai__sprite(const genai_ctx *ctx, uint64_t index, int width, int height, unsigned char *to) {
    int           side = width < height ? width : height, k, kind, ramp, accent, x, y;
    genai__canvas c = GENAI__ZEROED;
    c.ctx = ctx;
    c.index = index;
    c.top = -1024;
    c.bottom = 1024;
    for (k = (side + GENAI__CELLS - 1) / GENAI__CELLS; side % k && side / k > 24;) k++; /* whole pixels a cell where that works */
    c.cells = side / k < GENAI__CELLS ? side / k : GENAI__CELLS;
    kind = genai__roll(&c, (int)GENAI__COUNT(genai__sprites));
    ramp = genai__roll(&c, (int)GENAI__COUNT(genai__harmony));
    accent = genai__harmony[ramp][genai__roll(&c, 4)];
    genai__sprites[kind].draw(&c, ramp, accent);
    genai__draw_lines(&c, ramp);
    for (y = 0; y < height; y++)
        for (x = 0; x < width; x++, to += 4) {
            int i = x - (width - side) / 2, j = y - (height - side) / 2, at;
            memset(to, 0, 4);
            if (i < 0 || j < 0 || i >= side || j >= side) continue;
            at = c.colour[j * c.cells / side * c.cells + i * c.cells / side];
            if (!at) continue;
            uint32_t rgb = genai__tones[(at - 1) / 4][(at - 1) % 4];
            to[0] = (unsigned char)(rgb >> 16);
            to[1] = (unsigned char)(rgb >> 8);
            to[2] = (unsigned char)rgb;
            to[3] = 255;
        }
    return kind;
}

GENAI_API genai_dataset *genai_dataset_sprites(genai_ctx *ctx, size_t count, const genai_dataset_desc *desc) {
    static const char  what[] = "dataset_sprites";
    genai_dataset_desc d = genai__dataset_desc(desc);
    if (!ctx || genai__dataset_check(ctx, what, &d)) return NULL;
    if (d.limit && d.limit < count) count = d.limit;
    if (!d.width) d.width = d.height ? d.height : 32;
    if (!d.height) d.height = d.width;
    if (!d.channels) d.channels = 4;
    if (!count || (uint64_t)count >> 48 || d.width < 4 || d.height < 4 || d.width > 512 || d.height > 512)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: %zu sprites of %dx%d (at least 1, 4x4 to 512x512)", what, count, d.width, d.height), GENAI__NULL;
    genai_dataset *data = (genai_dataset *)genai__alloc(ctx, 1, sizeof *data);
    if (!data) return NULL;
    data->ctx = data->classes.ctx = ctx;
    data->desc = d;
    data->info.count = count;
    data->info.width = d.width;
    data->info.height = d.height;
    data->info.channels = d.channels;
    data->info.endless = 1;
    data->info.classes = (int)GENAI__COUNT(genai__sprites);
    for (size_t i = 0; i < GENAI__COUNT(genai__sprites); i++) genai__text_bytes(&data->classes, genai__sprites[i].name, strlen(genai__sprites[i].name) + 1);
    if (d.holdout > 0.0f && !data->classes.failed) { /* sprites that no epoch comes to: nothing is taken away */
        size_t k = genai__holdout_count(d.holdout, count + 1);
        d.holdout = 0.0f;
        d.limit = 0;
        data->test = genai_dataset_sprites(ctx, k, &d);
        if (data->test) data->test->base = (uint64_t)1 << 52;
    }
    return genai__dataset_unless(data->classes.failed || (data->desc.holdout > 0.0f && !data->test) ? GENAI_ERROR_MEMORY : GENAI_OK, data);
}

/* --- batches --- */
typedef struct genai__batch {
    genai_dataset *data;
    long           epoch;
    size_t         first;
    float         *images;
    int           *labels;
    unsigned char *scratch; /* of sprites: RGBA, one for each */
} genai__batch;

static void genai__batch_pixels(const genai__batch *b, int i, const unsigned char *p) {
    const genai_dataset *data = b->data;
    size_t               position = b->first + (size_t)i, bytes = genai__dataset_bytes(data), k;
    int                  w = data->info.width, c = data->info.channels, x, y, j;
    float               *to = b->images + (size_t)i * bytes;
    int                  flip = data->desc.flip && b->epoch >= 0
             && (genai__draw(data->ctx->desc.seed, GENAI__STREAM_FLIP, (uint64_t)b->epoch, (uint32_t)((uint64_t)position >> 32), (uint32_t)position).w[0] & 1);
    if (!flip) {
        for (k = 0; k < bytes; k++) to[k] = (float)p[k] / 255.0f;
        return;
    }
    for (y = 0; y < data->info.height; y++, p += w * c)
        for (x = w - 1; x >= 0; x--)
            for (j = 0; j < c; j++) *to++ = (float)p[x * c + j] / 255.0f;
}

static void genai__batch_sprite(void *arg, int i) {
    static const unsigned char ground[3] = {26, 24, 36}; /* under sprites without alpha */
    const genai__batch *b = (const genai__batch *)arg;
    const genai_dataset *data = b->data;
    size_t               area = (size_t)data->info.width * (size_t)data->info.height, k;
    unsigned char       *p = b->scratch + (size_t)i * area * 4;
    uint64_t             index = data->base + b->first + (size_t)i + (b->epoch > 0 ? (uint64_t)b->epoch * data->info.count : 0);
    int                  kind = genai__sprite(data->ctx, index, data->info.width, data->info.height, p), c = data->info.channels;
    if (c % 2)
        for (k = 0; k < area; k++)
            if (!p[4 * k + 3]) {
                memcpy(p + 4 * k, ground, 3);
                p[4 * k + 3] = 255;
            }
    if (c != 4)
        for (k = 0; k < area; k++) { /* in place: c is less than 4 */
            unsigned char pixel[4];
            memcpy(pixel, p + 4 * k, 4);
            genai__image_convert(pixel, 4, p + (size_t)c * k, c, 1);
        }
    genai__batch_pixels(b, i, p);
    if (b->labels) b->labels[i] = kind;
}

/* --- pairs --- */
static genai_dataset *genai__pairs(genai_dataset *from, genai_dataset *to, int aligned, int borrowed) {
    genai_dataset *data = (genai_dataset *)genai__alloc(from->ctx, 1, sizeof *data);
    if (!data) return NULL;
    data->ctx = from->ctx;
    data->info = from->info;
    data->info.pairs = 1;
    data->from = from;
    data->to = to;
    data->aligned = aligned;
    data->borrowed = borrowed;
    data->classes.ctx = from->ctx;
    return data;
}

GENAI_API genai_dataset *genai_dataset_pairs(genai_dataset *from, genai_dataset *to, int aligned) {
    if (!from || !to) return NULL;
    genai_ctx *ctx = from->ctx;
    const genai_dataset_info *a = &from->info;
    const genai_dataset_info *b = &to->info;
    if (ctx != to->ctx || from == to || a->pairs || b->pairs)
        genai__fail(ctx, GENAI_ERROR_ARGUMENT, "pairs need two data sets of one context, neither of pairs itself");
    else if (a->width != b->width || a->height != b->height || a->channels != b->channels)
        genai__fail(ctx, GENAI_ERROR_SHAPE, "pairs need images of one size: the first set has %dx%dx%d, the second %dx%dx%d (WxHxC); open both with a size and channels",
                    a->width, a->height, a->channels, b->width, b->height, b->channels);
    else if (aligned && (a->count != b->count || a->skipped || b->skipped))
        genai__fail(ctx, GENAI_ERROR_DATA, "aligned pairs need as many images in both sets: the first has %zu and %zu that could not be read, the second %zu and %zu",
                    a->count, a->skipped, b->count, b->skipped);
    else if (aligned && genai_dataset_describe(from->test).count != genai_dataset_describe(to->test).count)
        genai__fail(ctx, GENAI_ERROR_DATA, "aligned pairs need as many images in both test sets: the first has %zu, the second %zu",
                    genai_dataset_describe(from->test).count, genai_dataset_describe(to->test).count);
    else if (aligned && !from->desc.flip != !to->desc.flip)
        genai__fail(ctx, GENAI_ERROR_ARGUMENT, "aligned pairs are mirrored together: the first set has flip %d, the second %d", from->desc.flip, to->desc.flip);
    else if (!a->count || !b->count) genai__fail(ctx, GENAI_ERROR_DATA, "pairs need images in both sets: the first has %zu, the second %zu", a->count, b->count);
    else {
        genai_dataset *data = genai__pairs(from, to, aligned, 0);
        if (!data) return NULL;
        if (!from->test || !to->test) return data;
        data->test = genai__pairs(from->test, to->test, aligned, 1);
        if (data->test) return data;
        data->borrowed = 1;
        genai_dataset_destroy(data);
    }
    return NULL;
}

static genai_result genai__pairs_batch(genai_dataset *data, long epoch, size_t first, int n, float *images, int *labels) {
    size_t       bytes = genai__dataset_bytes(data), count = data->to->info.count;
    genai_result result = genai_dataset_batch(data->from, epoch, first, n, images, labels);
    if (data->aligned && !result) return genai_dataset_batch(data->to, epoch, first, n, images + (size_t)n * bytes, NULL);
    for (int i = 0; i < n && !result; i++) { /* passes over `to` in their own numbering: other orders than those of `from` */
        size_t at = first + (size_t)i;
        long   pass = epoch < 0 ? -1 : 0x40000000 + (long)(((size_t)epoch * data->info.count + at) / count % 0x3fffffff);
        result = genai_dataset_batch(data->to, pass, (epoch < 0 ? at : (size_t)epoch * data->info.count + at) % count, 1, images + (size_t)(n + i) * bytes, NULL);
    }
    return result;
}

GENAI_API genai_result genai_dataset_batch(genai_dataset *data, long epoch, size_t first, int n, float *images, int *labels) {
    genai__batch b = {data, epoch, first, images, labels, NULL};
    size_t       end;
    if (!data) return GENAI_ERROR_ARGUMENT;
    if (n < 1 || n > GENAI__MAX_TASKS || !images || epoch < -1)
        return genai__fail(data->ctx, GENAI_ERROR_ARGUMENT, "dataset_batch: %d images of epoch %ld into %s", n, epoch, images ? "memory" : "NULL");
    if (!genai__add(first, (size_t)n, &end) || (end > data->info.count && !(data->info.endless && epoch < 0)))
        return genai__fail(data->ctx, GENAI_ERROR_ARGUMENT, "dataset_batch: %d images from position %zu go beyond the %zu there are", n, first, data->info.count);
    if (data->from) return genai__pairs_batch(data, epoch, first, n, images, labels);
    if (data->info.endless) /* the scratch is kept: no allocation after the first batch */
        GENAI__TRY(genai__dataset_scratch(data, (size_t)n * (size_t)data->info.width * (size_t)data->info.height * 4));
    b.scratch = data->scratch;
    uint64_t mode = genai__fp_enter();
    if (data->info.endless) genai__parallel(data->ctx, n, genai__batch_sprite, &b);
    for (int i = 0; i < n && !data->info.endless; i++) {
        size_t from = first + (size_t)i;
        if (epoch >= 0) from = genai__permute(data->ctx->desc.seed, GENAI__STREAM_SHUFFLE, (uint64_t)epoch, data->info.count, from);
        genai__batch_pixels(&b, i, data->pixels + from * genai__dataset_bytes(data));
        if (labels) labels[i] = data->labels ? data->labels[from] : 0;
    }
    genai__fp_leave(mode);
    return GENAI_OK;
}

/* ====================================================================================================================
 * >>families (private)
 * What all model families share: the model, the table of its settings, the losses, the pieces of a training step. A family
 * is one genai__family; the rooms below it have the same shelves in the same order, so that reading one beside another
 * shows the science only. Everything after them (files, fit, the command line) knows families through that struct.
 * ================================================================================================================= */
enum { GENAI__GENERATOR, GENAI__DISCRIMINATOR, GENAI__ENCODER, GENAI__DECODER, GENAI__PRIOR, GENAI__GENERATOR_BACK, GENAI__DISCRIMINATOR_BACK,
       GENAI__ROLES };
static const char *const genai__role_names[] = {"generator", "discriminator", "encoder", "decoder", "prior", "generator_back", "discriminator_back"};
#define GENAI__ROLE(name) (1u << GENAI__##name)

#define GENAI__STEP_LOSSES 4
#define GENAI__PORTION 64 /* images that sampling, encoding and measuring take at once: memory stays flat for any n */

typedef struct genai__family {
    const char *name;
    const char *losses[GENAI__STEP_LOSSES + 1]; /* names of what step reports, ended by NULL                          */
    unsigned    roles;    /* the nets it has                                                                         */
    unsigned    averaged; /* those with an averaged copy, when ema is on                                             */
    int         painter;  /* the net that makes images from latents                                                  */
    /* Writes the text of one net for images of the model's size, where the preset has none. */
    void (*text)(const genai_model *m, int role, genai__text *t);
    genai_result (*create)(genai_model *m); /* checks what is its own, makes the optimisers                           */
    /* One step on x, in the range of the nets; fills value. NONFINITE without an error recorded: nothing was learned. */
    genai_result (*step)(genai_model *m, genai_tensor *x, float *value);
    genai_tensor *(*encode)(genai_model *m, genai_tensor *x);  /* [n,Z]; NULL: it can't                               */
    const char *(*measure)(const genai_model *m);              /* the name of what evaluate adds up; NULL: it has none */
    /* The sum over n images, number `first` and up of the data set, of the measure. */
    genai_result (*evaluate)(genai_model *m, genai_tensor *x, size_t first, double *sum);
    int (*takes)(const genai_model *m, int role);              /* values that a net takes; 0, or NULL: the painter takes latents, all others images */
    genai_result (*latents)(genai_model *m, uint64_t seed, size_t first, int n, float *z); /* number first and up to sample from; NULL: normals */
    int backs; /* of families that turn images into images, whose data are pairs and whose x is [2n,...]: 1, or 2 for both ways */
} genai__family;

/* A preset: what differs from the family's standard. Texts are NULL where the family writes them for the image's size. */
typedef struct genai__preset {
    genai_preset info;
    int          usual[3]; /* width, height, channels when nobody says otherwise                                     */
    int          latent;
    const char  *text[GENAI__ROLES];
    const char  *loss, *likelihood;
    float        beta, gamma, lr, lr_discriminator /* 0: lr */, beta1, ema;
    genai_init   init;
} genai__preset;

typedef struct genai__gan_loss {
    const char *name;
    genai_tensor *(*discriminator)(genai_tensor *logits, float target); /* of real images (target 1) or of made ones (0) */
    genai_tensor *(*generator)(genai_tensor *logits);                   /* for who made the images                   */
    int         probability; /* 1: the logits are those of a probability, so that its target may be less than 1      */
    int         relative;    /* 1: logits are taken relative to the mean of the other kind's                         */
    float       middle;      /* a logit above it says "real"; negative: logits say nothing alone                     */
} genai__gan_loss;

typedef struct genai__likelihood {
    const char *name;
    genai_tensor *(*cost)(const genai_model *m, genai_tensor *y, genai_tensor *x); /* -log p of each pixel given y, the decoder's output */
    int         logits;   /* 1: pixels are sigmoid(y)                                                                */
    int         halves;   /* 1: the first half of y's last dim are means, the second log-variances                   */
    int         features; /* 1: it is measured in the discriminator's features too                                   */
    int         nats;     /* 1: a probability, of which bounds and log-likelihoods can be told                       */
    const char *measure, *error; /* what evaluate adds up: of a VAE, of a plain autoencoder; of no two are the numbers comparable */
} genai__likelihood;

/* What a model has besides nets: tensors, NULL where there are none. Files hold them under these names. */
enum { GENAI__SAMPLER_WEIGHT, GENAI__SAMPLER_MEAN, GENAI__SAMPLER_FACTOR, GENAI__CODES, GENAI__CODE_COUNTS, GENAI__CODE_SUMS,
       GENAI__UNITS, GENAI__CHAINS, GENAI__EXTRAS };
static const char *const genai__extra_names[] = {"sampler.weight", "sampler.mean", "sampler.factor", "codes.vector", "codes.count", "codes.sum", "units.mean", "chains.hidden"};

struct genai_model {
    genai_ctx               *ctx;
    const genai__family     *family;
    const genai__gan_loss   *loss;       /* NULL where the family has none */
    const genai__likelihood *likelihood; /* likewise                       */
    genai_model_desc         desc;       /* resolved; its texts are the model's own */
    genai_net               *net[GENAI__ROLES], *average[GENAI__ROLES];
    genai_optimizer         *optimizer[GENAI__ROLES]; /* by the first net that it trains */
    int                      signed_range; /* the nets see pixels in [-1,1] instead of [0,1]                         */
    int                      feature_layer; /* of the discriminator                                                  */
    int                      critic;       /* the discriminator at work                                              */
    unsigned                 augment;      /* GENAI__COLOR, ...                                                      */
    int                      auxiliary;    /* 1: the discriminator gives classes too                                 */
    int                      dim[4];       /* 1, H, W, C                                                             */
    uint64_t                 seed;         /* of the context in which training began                                 */
    int                      resumed;      /* 1: from a checkpoint, so that seed matters                             */
    long                     steps, skipped, skipped_in_row;
    long                     epoch;        /* where fit stands in the data                                           */
    size_t                   position;
    genai_tensor            *extra[GENAI__EXTRAS];
    float                   *kept;         /* the running statistics before the step                                 */
    float                   *scratch;
    size_t                   scratch_count;
    size_t                   mark;         /* where the tape stood before the step                                   */
    const int               *labels;       /* of the images at work; NULL if the model isn't conditional             */
    double                   shown;        /* >>fit: when the progress bar last wrote                                */
    int                      behind;       /* the layer of a stack whose encoder weights have yet to follow, from 1; 0: none */
    size_t                   judged, right; /* images that discriminators saw in their update of the last step; told rightly */
};

/* --- settings: one table for genai_model_set, for metadata and for descriptions --- */
enum { GENAI__FIELD_TEXT, GENAI__FIELD_INT, GENAI__FIELD_FLOAT, GENAI__FIELD_ZERO /* float that may be truly 0 */, GENAI__FIELD_WORD };

typedef struct genai__field {
    const char        *key;
    int                kind;
    size_t             offset;
    double             low, high;
    const char *const *words;    /* of FIELD_WORD, in the order of the enum, ended by NULL */
    const char        *families; /* NULL: all                                              */
} genai__field;

static const char *const genai__schedule_words[] = {"default", "constant", "linear", "cosine", "exponential", "inverse", NULL};
static const char *const genai__model_init_words[] = {"default", "he", "glorot", "normal", "orthogonal", NULL};
typedef char genai__enums_are_ints[sizeof(genai_rule) == sizeof(int) && sizeof(genai_schedule) == sizeof(int) && sizeof(genai_init) == sizeof(int) ? 1 : -1];

#define GENAI__SAMPLER_MOST 1024 /* components, and latents, of a sampler that is fitted */
#define GENAI__AT(field) offsetof(genai_model_desc, field)
static const genai__field genai__fields[] = {
    {"preset", GENAI__FIELD_TEXT, GENAI__AT(preset), 0, 0, NULL, NULL},
    {"width", GENAI__FIELD_INT, GENAI__AT(width), 1, 4096, NULL, NULL},
    {"height", GENAI__FIELD_INT, GENAI__AT(height), 1, 4096, NULL, NULL},
    {"channels", GENAI__FIELD_INT, GENAI__AT(channels), 1, 4, NULL, NULL},
    {"latent", GENAI__FIELD_INT, GENAI__AT(latent), 1, 16777216, NULL, "gan vae vaegan aae vqvae rbm dbn"},
    {"generator", GENAI__FIELD_TEXT, GENAI__AT(generator), 0, 0, NULL, "gan translate cycle"},
    {"discriminator", GENAI__FIELD_TEXT, GENAI__AT(discriminator), 0, 0, NULL, "gan vaegan translate cycle aae"},
    {"encoder", GENAI__FIELD_TEXT, GENAI__AT(encoder), 0, 0, NULL, "vae vaegan aae vqvae"},
    {"decoder", GENAI__FIELD_TEXT, GENAI__AT(decoder), 0, 0, NULL, "vae vaegan aae vqvae"},
    {"prior", GENAI__FIELD_TEXT, GENAI__AT(prior), 0, 0, NULL, "vqvae"},
    {"condition", GENAI__FIELD_TEXT, GENAI__AT(condition), 0, 0, NULL, NULL},
    {"classes", GENAI__FIELD_INT, GENAI__AT(classes), 0, 65536, NULL, NULL},
    {"loss", GENAI__FIELD_TEXT, GENAI__AT(loss), 0, 0, NULL, "gan vaegan translate cycle aae"},
    {"smoothing", GENAI__FIELD_FLOAT, GENAI__AT(smoothing), 0, 0.5, NULL, "gan vaegan translate cycle aae"},
    {"r1", GENAI__FIELD_ZERO, GENAI__AT(r1), 0, 1e6, NULL, "gan vaegan translate cycle aae"},
    {"r1_every", GENAI__FIELD_INT, GENAI__AT(r1_every), 0, 1e6, NULL, "gan vaegan translate cycle aae"},
    {"penalty", GENAI__FIELD_FLOAT, GENAI__AT(penalty), 0, 1e6, NULL, "gan vaegan translate cycle aae"},
    {"clip", GENAI__FIELD_FLOAT, GENAI__AT(clip), 0, 1e6, NULL, "gan vaegan translate cycle aae"},
    {"spectral_norm", GENAI__FIELD_INT, GENAI__AT(spectral_norm), 0, 1, NULL, "gan vaegan translate cycle aae"},
    {"minibatch_stddev", GENAI__FIELD_INT, GENAI__AT(minibatch_stddev), 0, 1, NULL, "gan vaegan translate cycle"},
    {"dropout", GENAI__FIELD_FLOAT, GENAI__AT(dropout), 0, 0.999, NULL, "gan vaegan translate cycle aae"},
    {"augment", GENAI__FIELD_TEXT, GENAI__AT(augment), 0, 0, NULL, "gan"},
    {"noise", GENAI__FIELD_FLOAT, GENAI__AT(noise), 0, 100, NULL, "gan"},
    {"noise_steps", GENAI__FIELD_INT, GENAI__AT(noise_steps), 0, 2e9, NULL, "gan"},
    {"critic_steps", GENAI__FIELD_INT, GENAI__AT(critic_steps), 0, 1000, NULL, "gan"},
    {"feature_matching", GENAI__FIELD_FLOAT, GENAI__AT(feature_matching), 0, 1e6, NULL, "gan"},
    {"likelihood", GENAI__FIELD_TEXT, GENAI__AT(likelihood), 0, 0, NULL, "vae vaegan aae vqvae rbm dbn"},
    {"sigma", GENAI__FIELD_FLOAT, GENAI__AT(sigma), 1e-4, 100, NULL, "vae vaegan aae vqvae rbm dbn"},
    {"binarise", GENAI__FIELD_INT, GENAI__AT(binarise), 0, 1, NULL, "vae rbm dbn"},
    {"beta", GENAI__FIELD_ZERO, GENAI__AT(beta), 0, 1e6, NULL, "vae vaegan vqvae"},
    {"beta_warmup", GENAI__FIELD_INT, GENAI__AT(beta_warmup), 0, 1e9, NULL, "vae vaegan"},
    {"divergence", GENAI__FIELD_TEXT, GENAI__AT(divergence), 0, 0, NULL, "vae"},
    {"free_bits", GENAI__FIELD_FLOAT, GENAI__AT(free_bits), 0, 1e6, NULL, "vae vaegan"},
    {"importance", GENAI__FIELD_INT, GENAI__AT(importance), 1, 65536, NULL, "vae"},
    {"gamma", GENAI__FIELD_ZERO, GENAI__AT(gamma), 0, 1e6, NULL, "vaegan translate cycle"},
    {"identity", GENAI__FIELD_FLOAT, GENAI__AT(identity), 0, 1e6, NULL, "cycle"},
    {"vae_steps", GENAI__FIELD_INT, GENAI__AT(vae_steps), 0, 1e9, NULL, "vaegan"},
    {"margin", GENAI__FIELD_FLOAT, GENAI__AT(margin), 0, 100, NULL, "vaegan"},
    {"codes", GENAI__FIELD_INT, GENAI__AT(codes), 1, 8192, NULL, "vqvae"},
    {"code_size", GENAI__FIELD_INT, GENAI__AT(code_size), 1, 1024, NULL, "vqvae"},
    {"sampler", GENAI__FIELD_TEXT, GENAI__AT(sampler), 0, 0, NULL, "vae vaegan aae"},
    {"components", GENAI__FIELD_INT, GENAI__AT(components), 1, GENAI__SAMPLER_MOST, NULL, "vae vaegan aae"},
    {"layers", GENAI__FIELD_TEXT, GENAI__AT(layers), 0, 0, NULL, "dbn"},
    {"layer_steps", GENAI__FIELD_INT, GENAI__AT(layer_steps), 1, 1e9, NULL, "dbn"},
    {"cd_steps", GENAI__FIELD_INT, GENAI__AT(cd_steps), 1, 10000, NULL, "rbm dbn"},
    {"persistent", GENAI__FIELD_INT, GENAI__AT(persistent), 0, 4096, NULL, "rbm dbn"},
    {"centred", GENAI__FIELD_INT, GENAI__AT(centred), 0, 1, NULL, "rbm dbn"},
    {"momentum", GENAI__FIELD_FLOAT, GENAI__AT(momentum), 0, 0.99999, NULL, "rbm dbn"},
    {"weight_decay", GENAI__FIELD_FLOAT, GENAI__AT(weight_decay), 0, 100, NULL, "rbm dbn"},
    {"sparsity", GENAI__FIELD_FLOAT, GENAI__AT(sparsity), 0, 1, NULL, "rbm dbn"},
    {"sparsity_cost", GENAI__FIELD_FLOAT, GENAI__AT(sparsity_cost), 0, 1e6, NULL, "rbm dbn"},
    {"gibbs", GENAI__FIELD_INT, GENAI__AT(gibbs), 1, 1e7, NULL, "rbm dbn"},
    {"rule", GENAI__FIELD_WORD, GENAI__AT(rule), 0, 0, genai__rule_words, NULL},
    {"lr", GENAI__FIELD_FLOAT, GENAI__AT(lr), 1e-12, 100, NULL, NULL},
    {"lr_discriminator", GENAI__FIELD_FLOAT, GENAI__AT(lr_discriminator), 1e-12, 100, NULL, "gan vaegan translate cycle aae"},
    {"beta1", GENAI__FIELD_ZERO, GENAI__AT(beta1), 0, 0.99999, NULL, NULL},
    {"beta2", GENAI__FIELD_ZERO, GENAI__AT(beta2), 0, 0.9999999, NULL, NULL},
    {"clip_norm", GENAI__FIELD_FLOAT, GENAI__AT(clip_norm), 0, 1e9, NULL, NULL},
    {"schedule", GENAI__FIELD_WORD, GENAI__AT(schedule), 0, 0, genai__schedule_words, NULL},
    {"schedule_steps", GENAI__FIELD_INT, GENAI__AT(schedule_steps), 0, 2e9, NULL, NULL},
    {"warmup", GENAI__FIELD_INT, GENAI__AT(warmup), 0, 1e9, NULL, NULL},
    {"ema", GENAI__FIELD_ZERO, GENAI__AT(ema), 0, 0.9999999, NULL, NULL},
    {"init", GENAI__FIELD_WORD, GENAI__AT(init), 0, 0, genai__model_init_words, NULL},
};
#undef GENAI__AT

static int genai__field_int(const genai__field *f, const genai_model_desc *d) {
    int x;
    memcpy(&x, (const char *)d + f->offset, sizeof x);
    return x;
}
static float genai__field_float(const genai__field *f, const genai_model_desc *d) {
    float x;
    memcpy(&x, (const char *)d + f->offset, sizeof x);
    return x;
}
static const char *genai__field_words(const genai__field *f, const genai_model_desc *d) {
    const char *x;
    memcpy(&x, (const char *)d + f->offset, sizeof x);
    return x;
}
static void genai__field_put(const genai__field *f, genai_model_desc *d, const void *value, size_t size) {
    memcpy((char *)d + f->offset, value, size);
}

static int genai__field_is_net(const genai__field *f) { /* the text of a net? */
    return f->offset >= offsetof(genai_model_desc, generator) && f->offset <= offsetof(genai_model_desc, prior);
}

/* Does it apply to this family, by the table? */
static int genai__field_fits(const genai__field *f, const char *family) {
    const char *p = f->families;
    size_t      n = strlen(family);
    if (!p) return 1;
    for (; *p; p += strcspn(p, " "), p += *p == ' ')
        if (strcspn(p, " ") == n && !memcmp(p, family, n)) return 1;
    return 0;
}

static genai_result genai__field_range(genai_ctx *ctx, const genai__field *f, double value) {
    char x[32], low[32], high[32];
    if (value >= (double)(float)f->low && value <= (double)(float)f->high && (f->kind != GENAI__FIELD_INT || value <= 2147483647.0)) return GENAI_OK;
    return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s is %s, but must be from %s to %s", f->key, genai__number(x, value, 9),
                       genai__number(low, f->low, 9), genai__number(high, f->high, 9));
}

/* A value that a program put there: 0 is the default and always right. */
static genai_result genai__field_check(genai_ctx *ctx, const genai__field *f, const genai_model_desc *d) {
    if (f->kind == GENAI__FIELD_INT && genai__field_int(f, d)) return genai__field_range(ctx, f, (double)genai__field_int(f, d));
    if (f->kind == GENAI__FIELD_WORD) {
        int n = 0, x = genai__field_int(f, d);
        while (f->words[n]) n++;
        if (x < 0 || x >= n) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s is %d, but must be from 0 to %d", f->key, x, n - 1);
    }
    if (f->kind == GENAI__FIELD_FLOAT || f->kind == GENAI__FIELD_ZERO) {
        float x = genai__field_float(f, d);
        if (!genai__finite(x)) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s is not a finite number", f->key);
        if (x != 0 && !(f->kind == GENAI__FIELD_ZERO && x == GENAI_ZERO)) return genai__field_range(ctx, f, (double)x);
    }
    return GENAI_OK;
}

/* From text; what was read must end with the text. */
static genai_result genai__field_set(genai_ctx *ctx, const genai__field *f, genai_model_desc *d, const char *value) {
    double x = 0;
    int    i;
    if (f->kind == GENAI__FIELD_TEXT) {
        genai__field_put(f, d, &value, sizeof value);
        return GENAI_OK;
    }
    if (f->kind == GENAI__FIELD_WORD) {
        for (i = 0; f->words[i] && strcmp(f->words[i], value); i++) {}
        if (!f->words[i])
            return genai__fail(ctx, GENAI_ERROR_SYNTAX, "%s: there is no '%.40s', did you mean '%s'?", f->key, value,
                               genai__nearest(value, strlen(value), f->words, (size_t)i, sizeof *f->words));
        genai__field_put(f, d, &i, sizeof i);
        return GENAI_OK;
    }
    const char *end = genai__parse_number(value, &x);
    if (!end || *end || (f->kind == GENAI__FIELD_INT && x >= -2147483647.0 && x <= 2147483647.0 && (double)(int)x != x))
        return genai__fail(ctx, GENAI_ERROR_SYNTAX, "%s must be a %snumber, not '%.40s'", f->key, f->kind == GENAI__FIELD_INT ? "whole " : "", value);
    GENAI__TRY(genai__field_range(ctx, f, x));
    if (f->kind == GENAI__FIELD_INT) {
        i = (int)(x != 0 ? x : (double)GENAI_ZERO); /* else it would mean the default */
        genai__field_put(f, d, &i, sizeof i);
    } else {
        float y = f->kind == GENAI__FIELD_ZERO && x <= 0 ? GENAI_ZERO : (float)x;
        genai__field_put(f, d, &y, sizeof y);
    }
    return GENAI_OK;
}

/* The value as text that genai__field_set reads back to the same bits; NULL: a text that isn't there. to holds 32 characters. */
static const char *genai__field_text(const genai__field *f, const genai_model_desc *d, char *to) {
    double back;
    switch (f->kind) {
        case GENAI__FIELD_TEXT: return genai__field_words(f, d);
        case GENAI__FIELD_WORD: return f->words[genai__field_int(f, d)];
        case GENAI__FIELD_INT: sprintf(to, "%d", genai__field_int(f, d)); return to;
        default: break;
    }
    float x = genai__field_float(f, d);
    if (x < 0) x = 0; /* GENAI_ZERO */
    for (int digits = 6; digits < 10; digits++)
        if (genai__parse_number(genai__number(to, (double)x, digits), &back) && (float)back == x) break;
    return to;
}

GENAI_API genai_result genai_model_set(genai_ctx *ctx, genai_model_desc *desc, const char *key, const char *value) {
    if (!ctx) return GENAI_ERROR_ARGUMENT;
    if (!desc || !key || !value) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_model_set: desc, key or value is NULL");
    for (size_t i = 0; i < GENAI__COUNT(genai__fields); i++)
        if (!strcmp(genai__fields[i].key, key)) return genai__field_set(ctx, &genai__fields[i], desc, value);
    return genai__fail(ctx, GENAI_ERROR_SYNTAX, "there is no setting '%.40s', did you mean '%s'?", key,
                       genai__nearest(key, strlen(key), genai__fields, GENAI__COUNT(genai__fields), sizeof genai__fields[0]));
}

/* --- adversarial losses, on logits: to add one, add a row --- */
static genai_tensor *genai__bce_to(genai_tensor *logits, float target) { return genai_bce_loss(logits, NULL, target); }
static genai_tensor *genai__bce_real(genai_tensor *logits) { return genai_bce_loss(logits, NULL, 1); }
static genai_tensor *genai__minimax_generator(genai_tensor *logits) { return genai_neg(genai_bce_loss(logits, NULL, 0)); }
static genai_tensor *genai__squares_to(genai_tensor *logits, float target) {
    return genai_scale(genai_mean(genai_square(genai_scale(logits, 1, -target)), 0), 0.5f, 0);
}
static genai_tensor *genai__squares_real(genai_tensor *logits) { return genai__squares_to(logits, 1); }
static genai_tensor *genai__hinge_to(genai_tensor *logits, float target) { return genai_hinge_loss(logits, 2 * target - 1); }
static genai_tensor *genai__critic_to(genai_tensor *logits, float target) { return genai_scale(genai_mean(logits, 0), 1 - 2 * target, 0); }
static genai_tensor *genai__critic_real(genai_tensor *logits) { return genai__critic_to(logits, 1); }

static const genai__gan_loss genai__gan_losses[] = {
    {"nonsaturating", genai__bce_to, genai__bce_real, 1, 0, 0},     /* Goodfellow et al. 2014, -log D at the end of section 3   */
    {"minimax", genai__bce_to, genai__minimax_generator, 1, 0, 0},  /* there, eq. 1                                             */
    {"lsgan", genai__squares_to, genai__squares_real, 0, 0, 0.5f},  /* Mao et al. 2017, eq. 9: targets 0 and 1, halves of squares */
    {"hinge", genai__hinge_to, genai__critic_real, 0, 0, 0},        /* Lim and Ye 2017: max(0, 1 -+ D); the generator has -D    */
    {"wasserstein", genai__critic_to, genai__critic_real, 0, 0, -1},/* Arjovsky et al. 2017, eq. 3                              */
    {"relativistic", genai__bce_to, genai__bce_real, 1, 1, 0},      /* Jolicoeur-Martineau 2019, section 4.2.2: the average one  */
};

/* --- network texts --- */
/* Images are halved `levels` times, until the smaller side is 7 or less (8 would become 4). */
static int genai__levels(const genai_model *m) {
    int side = m->dim[1] < m->dim[2] ? m->dim[1] : m->dim[2], levels = 0;
    for (; side > 7; side = (side + 1) / 2) levels++;
    return levels;
}
static int genai__halved(int side, int levels) { return (side + (1 << levels) - 1) >> levels; }

/* Channels after `level` halvings: doubling with each, from `width` up to `most`. So a pixel costs about the same in images of all sizes. */
static int genai__channels(int level, int width, int most) {
    int channels = width;
    for (; level > 1 && channels < most; level--) channels *= 2;
    return channels < most ? channels : most;
}

/* Latents to images of so many outputs a pixel: dense, then transposed convolutions whose kernel 4 is a multiple of the stride 2, so that every pixel
 * gets as many terms as its neighbours (Odena et al. 2016). Sizes that 2^levels doesn't divide are cropped. fine: the pixels come from a convolution at
 * full size, which is worth its time to GANs only (docs/quality.md). */
static void genai__text_up(const genai_model *m, genai__text *t, int width, int outputs, int fine, const char *between, const char *end) {
    int levels = genai__levels(m), level, h = genai__halved(m->dim[1], levels), w = genai__halved(m->dim[2], levels);
    int channels = genai__channels(levels + 1, width, 8 * width);
    genai__text_format(t, "dense %d*%d*%d nobias | reshape %dx%dx%d | %s | ", h, w, channels, h, w, channels, between);
    if (!levels) fine = 1;
    for (level = levels; level > !fine; level--) genai__text_format(t, "convt %d k4 s2 | %s | ", genai__channels(level, width, 8 * width), between);
    genai__text_format(t, fine ? "conv %d k3" : "convt %d k4 s2", outputs);
    if (h << levels != m->dim[1] || w << levels != m->dim[2]) genai__text_format(t, " | crop %dx%d", m->dim[1], m->dim[2]);
    genai__text_add(t, end);
}

/* Images to a vector: strided convolutions, then dense. */
static void genai__text_convs(const genai_model *m, genai__text *t, int width, const char *between) {
    int levels = genai__levels(m), level;
    if (!levels) genai__text_format(t, "conv %d k3 | %s | ", width, between);
    for (level = 1; level <= levels; level++) genai__text_format(t, "conv %d k4 s2 | %s | ", genai__channels(level, width, 4 * width), between);
}
static void genai__text_down(const genai_model *m, genai__text *t, int width, const char *between, const char *end) {
    genai__text_convs(m, t, width, between);
    genai__text_format(t, "flatten | %s", end);
}

/* The same for a discriminator, with what the settings put into its text. */
static const char *genai__text_dropout(const genai_model *m, char *to) { /* to holds 48 characters */
    char p[32];
    to[0] = 0;
    if (m->desc.dropout > 0) sprintf(to, "dropout %s", genai__number(p, (double)m->desc.dropout, 6));
    return to;
}
static const char *genai__text_lrelu(const genai_model *m, char *to) { /* likewise; to holds 64 */
    char dropout[48];
    sprintf(to, "lrelu 0.2%s%s", m->desc.dropout > 0 ? " | " : "", genai__text_dropout(m, dropout));
    return to;
}
static int  genai__condition(const genai_model *m, const char *how) { return !strcmp(m->desc.condition, how); }
static void genai__text_critic(const genai_model *m, genai__text *t, int width) {
    char between[64];
    if (genai__condition(m, "concat")) genai__text_add(t, "label | ");
    genai__text_convs(m, t, width, genai__text_lrelu(m, between));
    genai__text_add(t, m->desc.minibatch_stddev ? "stddev | flatten | " : "flatten | ");
    if (genai__condition(m, "projection")) genai__text_add(t, "project");
    else genai__text_format(t, "dense %d", genai__condition(m, "auxiliary") ? 1 + m->desc.classes : 1);
}

/* source with $H $W $C $D $Z $K replaced. */
static genai_result genai__expand(const genai_model *m, int role, const char *source, genai__text *t) {
    static const char letters[] = "HWCDZK";
    const int         values[] = {m->dim[1], m->dim[2], m->dim[3], m->dim[1] * m->dim[2] * m->dim[3], m->desc.latent, m->desc.classes};
    for (; *source; source++) {
        if (*source != '$') {
            genai__text_bytes(t, source, 1);
            continue;
        }
        const char *letter = strchr(letters, *++source);
        if (!*source || !letter)
            return genai__fail(m->ctx, GENAI_ERROR_SYNTAX, "network text of %s: after $ must come H, W, C, D, Z or K, not '%.1s'",
                               genai__role_names[role], source);
        genai__text_format(t, "%d", values[letter - letters]);
    }
    return GENAI_OK;
}

/* --- pieces of a step --- */
static genai_result genai__result_of(const genai_ctx *ctx) { return ctx->result ? ctx->result : GENAI_ERROR_MEMORY; } /* after a NULL */

/* x as a matrix, -1: the size that is left; a matrix of these values on the tape, NULL: zeros. */
static genai_tensor *genai__matrix(genai_tensor *x, int rows, int columns) {
    int dim[2] = {rows, columns};
    return genai_reshape(x, 2, dim);
}
static genai_tensor *genai__matrix_of(genai_ctx *ctx, int rows, int columns, const float *values) {
    int dim[2] = {rows, columns};
    return genai_tensor_of(ctx, 2, dim, values);
}

/* [n, values of one] whatever the dims of a net's output. */
static genai_tensor *genai__rows(genai_tensor *x) {
    return !x || x->ndim == 2 ? x : genai__matrix(x, x->dim[0], -1);
}
/* [n,H,W,C]. */
static genai_tensor *genai__images(const genai_model *m, genai_tensor *y) {
    if (!y || y->ndim == 4) return y;
    int dim[4] = {y->dim[0], m->dim[1], m->dim[2], m->dim[3]};
    return genai_reshape(y, 4, dim);
}

/* --- exp and log in double, by + - * / only, so that the bits are the same with every C library; right to 2e-16 of the result
 * for |x| <= 700, and for finite x > 0 --- */
#define GENAI__LOG_2 0.69314718055994531
static double genai__exp(double x) {
    double sum = 1;
    if (!(x > -700)) return 0;
    int k = (int)floor((x < 700 ? x : 700) / GENAI__LOG_2 + 0.5);
    x = ((x < 700 ? x : 700) - k * 0.693359375) + k * 2.12194440054690583e-4; /* log 2 in two parts, the first short */
    for (int i = 16; i; i--) sum = 1 + sum * x / i;
    uint64_t bits = (uint64_t)(1023 + k) << 52;
    memcpy(&x, &bits, sizeof x);
    return sum * x;
}
static double genai__log(double x) { /* x = 2^k (1+s)/(1-s), log of the fraction = 2 (s + s^3/3 + ...) */
    uint64_t bits;
    double   s, sum = 0;
    memcpy(&bits, &x, sizeof bits);
    int k = (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffu) | (uint64_t)1023 << 52;
    memcpy(&x, &bits, sizeof x);
    if (x > 1.4142135623730951) { x *= 0.5; k++; }
    s = (x - 1) / (x + 1);
    for (int i = 23; i > 0; i -= 2) sum = sum * s * s + 1.0 / i;
    return k * GENAI__LOG_2 + 2 * s * sum;
}

/* --- likelihoods: to add one, add a row. y: what the decoder gives --- */
static genai_tensor *genai__half(genai_tensor *y, int second) { /* of the last dim */
    int axis = y ? y->ndim - 1 : 0, n = y ? y->dim[axis] / 2 : 0;
    return genai_slice(y, axis, second * n, n);
}
static genai_tensor *genai__bernoulli_cost(const genai_model *m, genai_tensor *y, genai_tensor *x) { /* as genai_bce_loss has it */
    y = genai__images(m, y);
    genai_tensor *plus = genai_softplus(y);
    return genai_sub(plus, genai_mul(y, x));
}
static genai_tensor *genai__squared_cost(const genai_model *m, genai_tensor *y, genai_tensor *x) { return genai_square(genai_sub(genai__images(m, y), x)); }
static genai_tensor *genai__absolute_cost(const genai_model *m, genai_tensor *y, genai_tensor *x) { return genai_abs(genai_sub(genai__images(m, y), x)); }
#define GENAI__HALF_LOG_2PI 0.91893853320467274
static genai_tensor *genai__gaussian_cost(const genai_model *m, genai_tensor *y, genai_tensor *x) { /* differences are halved where the range is [-1,1] */
    double sigma = (double)m->desc.sigma, side = m->signed_range ? 0.5 : 1;
    return genai_scale(genai__squared_cost(m, y, x), (float)(side * side / (2 * sigma * sigma)), (float)(GENAI__HALF_LOG_2PI + genai__log(sigma)));
}
/* Log-variances are kept within +-10: a standard deviation below 1/148 would bet on single grey levels. */
static genai_tensor *genai__learned_cost(const genai_model *m, genai_tensor *y, genai_tensor *x) {
    genai_tensor *log_var = genai_clamp(genai__images(m, genai__half(y, 1)), -10, 10);
    genai_tensor *e = genai__squared_cost(m, genai__half(y, 0), x);
    return genai_scale(genai_add(log_var, genai_mul(e, genai_exp(genai_neg(log_var)))), 0.5f, (float)GENAI__HALF_LOG_2PI);
}

static const genai__likelihood genai__likelihoods[] = {
    {"bernoulli", genai__bernoulli_cost, 1, 0, 0, 1, "test -ELBO", "test cross-entropy"},
    {"gaussian", genai__gaussian_cost, 0, 0, 0, 1, "test -ELBO of a density", "test -log density"},
    {"gaussian_learned", genai__learned_cost, 0, 1, 0, 1, "test -ELBO of a density", "test -log density"},
    {"mse", genai__squared_cost, 0, 0, 0, 0, "test squared error + KL", "test squared error"},
    {"l1", genai__absolute_cost, 0, 0, 0, 0, "test absolute error + KL", "test absolute error"},
    {"features", genai__squared_cost, 0, 0, 1, 0, "test squared error + KL", "test squared error"},
};

/* -log p(x|z), summed over pixels, in the mean of the batch; then for each image, as [n,1]. */
static genai_tensor *genai__reconstruction(const genai_model *m, genai_tensor *y, genai_tensor *x) { return genai__mean_of_sums(m->likelihood->cost(m, y, x)); }
static genai_tensor *genai__reconstructions(const genai_model *m, genai_tensor *y, genai_tensor *x) {
    return genai_sum(genai__rows(m->likelihood->cost(m, y, x)), 2);
}

/* The images that y stands for, in the range of the nets. */
static genai_tensor *genai__painted(const genai_model *m, genai_tensor *y) {
    y = genai__images(m, m->likelihood && m->likelihood->halves ? genai__half(y, 0) : y);
    return m->likelihood && m->likelihood->logits ? genai_sigmoid(y) : y;
}

/* Black and white where the model wants that. */
static genai_tensor *genai__binarised(const genai_model *m, genai_tensor *x, int training) {
    if (!x || !m->desc.binarise) return x;
    return genai__greater(x, training ? genai_random_uniform(m->ctx, 4, x->dim) : genai_scalar(m->ctx, 0.5f));
}

/* A net of the model, with the labels of the images at work. */
static genai_tensor *genai__forward(const genai_model *m, genai_net *net, genai_tensor *x, genai_mode mode) {
    return genai_net_forward_labels(net, x, m->labels, mode);
}

static genai_tensor *genai__latents(genai_model *m, int n) {
    int dim[2] = {n, m->desc.latent};
    return genai_random_normal(m->ctx, 2, dim);
}

/* At `slot`, still without what it trains, first of all the net a; of the nets a and b (or -1). */
static genai_result genai__optimizer_begin(genai_model *m, int slot, float lr, int a) {
    genai_optimizer_desc d = GENAI__ZEROED;
    d.rule = m->desc.rule;
    d.lr = lr;
    d.beta1 = m->desc.beta1;
    d.beta2 = m->desc.beta2;
    d.momentum = m->desc.momentum;
    d.weight_decay = m->desc.weight_decay;
    d.clip_norm = m->desc.clip_norm;
    d.schedule = m->desc.schedule;
    d.steps = m->desc.schedule_steps;
    d.warmup = m->desc.warmup;
    if (a == GENAI__GENERATOR) { /* its updates are fewer than the steps that the schedule counts */
        d.steps = (d.steps + m->desc.critic_steps - 1) / m->desc.critic_steps;
        d.warmup /= m->desc.critic_steps;
    }
    m->optimizer[slot] = genai_optimizer_create(m->ctx, &d);
    return m->optimizer[slot] ? GENAI_OK : genai__result_of(m->ctx);
}
static genai_result genai__optimizer_at(genai_model *m, int slot, float lr, int a, int b) {
    GENAI__TRY(genai__optimizer_begin(m, slot, lr, a));
    GENAI__TRY(genai_optimizer_add(m->optimizer[slot], m->net[a], 1));
    return b >= 0 ? genai_optimizer_add(m->optimizer[slot], m->net[b], 1) : GENAI_OK;
}
static genai_result genai__model_optimizer(genai_model *m, float lr, int a, int b) { return genai__optimizer_at(m, a, lr, a, b); }

/* What one portion of a whole is done with; recording is off and the tape released after each. */
typedef struct genai__quiet { size_t mark; int recording; } genai__quiet;
static genai__quiet genai__quiet_begin(genai_ctx *ctx) {
    genai__quiet q = {genai_tape_mark(ctx), genai_recording(ctx, 0)};
    return q;
}
static void genai__quiet_end(genai_ctx *ctx, genai__quiet q) {
    genai_recording(ctx, q.recording);
    genai_tape_release(ctx, q.mark);
}

static genai_result genai__not_finite(genai_model *m, const char *what, const char *of) {
    if (m->skipped % 100 == 0)
        genai__warn(m->ctx, "step %ld: the %s of %s is not finite; that update was left out (%ld so far)", m->steps + 1, what, of, m->skipped + 1);
    return GENAI_ERROR_NONFINITE;
}

/* An update of the optimiser kept at `role`: begin, from each loss, end. A loss's values are gone afterwards, as far as
 * they were made behind `mark`. A trainable net that a loss reaches and the optimiser doesn't hold would gather gradients in vain, so callers freeze it. */
static void genai__learn_begin(genai_model *m, int role) {
    genai_optimizer *o = m->optimizer[role];
    for (int i = 0; i < o->groups; i++)
        for (int j = 0; j < o->group[i].tensors; j++) o->group[i].tensor[j].grad->flags |= GENAI__UNSET;
}
static genai_result genai__learn_from(genai_model *m, int role, genai_tensor *loss, size_t mark) {
    if (!loss) return genai__result_of(m->ctx);
    if (!genai__finite(genai_value(loss))) return genai__not_finite(m, "loss", genai__role_names[role]);
    return genai__backward(loss, mark);
}
static genai_result genai__learn_end(genai_model *m, int role) {
    genai_optimizer *o = m->optimizer[role];
    const char      *bad = NULL;
    for (int i = 0; i < o->groups; i++)
        for (int j = 0; j < o->group[i].tensors; j++) {
            genai_tensor *g = o->group[i].tensor[j].grad;
            if (g->flags & GENAI__UNSET) memset(g->data, 0, g->count * sizeof(float)); /* no loss reached it */
            g->flags &= ~(unsigned)GENAI__UNSET;
        }
    genai_result result = genai__optimizer_try(o, &bad);
    return result == GENAI_ERROR_NONFINITE ? genai__not_finite(m, "gradient", bad ? bad : genai__role_names[role]) : result;
}

/* One update from one loss, after which nothing is needed of what was made behind `mark`. */
static genai_result genai__learn(genai_model *m, int role, genai_tensor *loss, size_t mark) {
    genai__learn_begin(m, role);
    genai_result result = genai__learn_from(m, role, loss, mark);
    genai_tape_release(m->ctx, mark);
    return result ? result : genai__learn_end(m, role);
}

/* --- what adversarial families have in common --- */
/* What changes images before the discriminator sees them (Zhao et al. 2020), in this order. */
enum { GENAI__COLOR = 1, GENAI__TRANSLATION = 2, GENAI__CUTOUT = 4 };
static const char *const genai__augment_words[] = {"color", "translation", "cutout"};

static genai_tensor *genai__around(genai_tensor *x, genai_tensor *centre, genai_tensor *factor) { /* centre + factor (x - centre) */
    return genai_add(genai_mul(genai_sub(x, centre), factor), centre);
}

/* One draw: seven uniform numbers for each image, whatever is switched on. */
static genai_tensor *genai__augment(genai_model *m, genai_tensor *x) {
    int           n = x->dim[0], h = x->dim[1], w = x->dim[2], c = x->dim[3], colors = c - (c % 2 == 0), drawn[2] = {7, n}, dim[4] = {n, 1, 1, 1};
    float         span = m->signed_range ? 2.0f : 1.0f;
    genai_tensor *u = genai_random_uniform(m->ctx, 2, drawn), *factor[3], *y = x;
    if (m->augment & GENAI__COLOR) { /* brightness by a quarter of the range, saturation by 0 to 2, contrast by 0.5 to 1.5 */
        for (int k = 0; k < 3; k++) factor[k] = genai_reshape(genai_slice(u, 0, k, 1), 4, dim);
        y = genai_slice(x, 3, 0, colors);
        y = genai_add(y, genai_scale(factor[0], 0.5f * span, -0.25f * span));
        if (colors > 1) y = genai__around(y, genai_mean(y, 8), genai_scale(factor[1], 2, 0));
        y = genai__around(y, genai_mean(y, 14), genai_scale(factor[2], 1, 0.5f));
        if (colors < c) y = genai_concat(y, genai_slice(x, 3, colors, 1), 3);
    }
    if (!(m->augment & (GENAI__TRANSLATION | GENAI__CUTOUT))) return y;
    int *places = (int *)genai__arena(m->ctx, (size_t)n * 6 * sizeof *places);
    if (!u || !places) return NULL;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            int    side = k ? w : h, far = (side + 4) / 8, cut = (side + 1) / 2, *p = places + 6 * i + k, at;
            double move = (double)u->data[(3 + k) * n + i], middle = (double)u->data[(5 + k) * n + i]; /* of 24 bits: the products are exact */
            p[0] = m->augment & GENAI__TRANSLATION ? (int)(move * (2 * far + 1)) - far : 0;
            at = (int)(middle * (side + 1 - cut % 2)) - cut / 2; /* so that the rectangle's middle is anywhere in the image */
            p[2] = at;
            p[4] = m->augment & GENAI__CUTOUT ? at + cut : at;
        }
    return genai__shift(y, places, m->signed_range ? -1.0f : 0.0f, 0);
}

/* Images as the discriminator sees them. */
static genai_tensor *genai__seen(genai_model *m, genai_tensor *x) {
    float noise = m->desc.noise;
    if (m->desc.noise_steps) noise *= m->steps < m->desc.noise_steps ? 1 - (float)m->steps / (float)m->desc.noise_steps : 0;
    if (x && m->augment) x = genai__augment(m, x);
    return x && noise > 0 ? genai_add(x, genai_scale(genai_random_normal(m->ctx, x->ndim, x->dim), noise, 0)) : x;
}

/* The discriminator's logits [n,1]; *classes: those of the classes [n,K], or NULL; features: NULL, or gets what its last part does. */
static genai_tensor *genai__judge(genai_model *m, genai_tensor *x, genai_mode mode, genai_tensor **classes, genai_tensor **features) {
    genai_net    *d = m->net[m->critic];
    genai_tensor *y = features ? genai__net_forward(d, x, m->labels, mode, m->feature_layer, features) : genai__forward(m, d, x, mode);
    *classes = m->auxiliary ? genai_slice(genai__rows(y), 1, 1, m->desc.classes) : NULL;
    return m->auxiliary ? genai_slice(genai__rows(y), 1, 0, 1) : y;
}

/* The same on real images, for its update; *more: what else it learns from them, R1 and their classes, or NULL. */
static genai_tensor *genai__judge_real(genai_model *m, genai_tensor *x, genai_tensor **more) {
    int           due = m->desc.r1 > 0 && m->steps % m->desc.r1_every == 0;
    genai_tensor *classes, *logits, *dx;
    *more = NULL;
    if (due && (x = genai_detach(x)) != NULL) x->requires_grad = 1;
    logits = genai__judge(m, x, GENAI_TRAIN, &classes, NULL);
    if (due) {
        if (genai_grad(logits, 1, &x, &dx, 1)) return NULL; /* of their sum: images don't meet in it */
        x->requires_grad = 0; /* the loss's own gradient goes to weights only */
        *more = genai_scale(genai__mean_of_sums(genai_square(dx)), 0.5f * m->desc.r1 * (float)m->desc.r1_every, 0);
    }
    if (!classes) return logits;
    classes = genai_cross_entropy_loss(classes, m->labels);
    *more = *more ? genai_add(*more, classes) : classes;
    return logits;
}

/* Gulrajani et al. 2017, eq. 3. The root is finite at 0, where its gradient is taken for 0. */
static genai_tensor *genai__gradient_penalty(genai_model *m, genai_tensor *x, genai_tensor *fake) {
    genai_tensor *between, *classes, *dx, *norm;
    if (!x) return NULL;
    int dim[4] = {x->dim[0], 1, 1, 1};
    between = genai_random_uniform(m->ctx, x->ndim, dim); /* one for each image */
    between = genai_detach(genai_add(x, genai_mul(between, genai_sub(fake, x))));
    if (!between) return NULL;
    between->requires_grad = 1;
    if (genai_grad(genai__judge(m, between, GENAI_TRAIN_FROZEN, &classes, NULL), 1, &between, &dx, 1)) return NULL;
    between->requires_grad = 0;
    norm = genai_sqrt(genai_scale(genai_sum(genai_square(dx), (1u << x->ndim) - 2), 1, 1e-12f));
    return genai_scale(genai_mean(genai_square(genai_scale(norm, 1, -1)), 0), m->desc.penalty, 0);
}

static genai_tensor *genai__relative(genai_tensor *logits, genai_tensor *to) { return genai_sub(logits, genai_mean(to, 0)); }

static void genai__clip_weights(const genai_net *net, float most) {
    for (int i = 0; i < net->layers; i++)
        for (int j = 0; j < GENAI__SLOTS && net->layer[i].kind->owns <= GENAI__OWNS_WEIGHT; j++) {
            genai_tensor *w = net->layer[i].parameter[j];
            if (w) net->ctx->kernels->clamp.f(w->count, w->data, w->data, -most, most);
        }
}

/* For genai_health: who was told rightly. */
static void genai__count_right(genai_model *m, const genai_tensor *logits, int real) {
    for (size_t i = 0; logits && i < logits->count && m->loss->middle >= 0; i++) {
        float side = real ? logits->data[i] - m->loss->middle : m->loss->middle - logits->data[i];
        m->right += side > 0;
        m->judged++;
    }
}

/* The discriminator's update, on real images and one or two batches of made ones, each a batch of its own (batch norm must not
 * mix them), and done with before the next takes memory, unless the loss needs both at once; the running statistics learn
 * from the real ones only. *value: the adversarial loss alone. */
static genai_result genai__learn_discriminator(genai_model *m, genai_tensor *x, genai_tensor *fake, genai_tensor *other, float *value) {
    genai_tensor *images[3], *logits, *loss, *more, *classes;
    genai_result  result = GENAI_OK;
    size_t        before = genai_tape_mark(m->ctx);
    float         target = 1 - m->desc.smoothing;
    images[0] = genai__seen(m, x);
    images[1] = genai__seen(m, genai_detach(fake));
    images[2] = other ? genai__seen(m, genai_detach(other)) : NULL;
    *value = 0;
    genai__learn_begin(m, m->critic);
    for (int i = 0; i < 3 && (i < 2 || other) && !result; i++) {
        size_t mark = genai_tape_mark(m->ctx);
        more = NULL;
        logits = i ? genai__judge(m, images[i], GENAI_TRAIN_FROZEN, &classes, NULL) : genai__judge_real(m, images[0], &more);
        if (m->loss->relative) {
            genai_tensor *made = genai__judge(m, images[++i], GENAI_TRAIN_FROZEN, &classes, NULL), *real = logits;
            logits = genai__relative(real, made);
            loss = m->loss->discriminator(logits, target);
            made = genai__relative(made, real);
            loss = genai_add(loss, m->loss->discriminator(made, 0));
            genai__count_right(m, logits, 1);
            genai__count_right(m, made, 0);
        } else {
            loss = m->loss->discriminator(logits, i ? 0 : target);
            genai__count_right(m, logits, !i);
        }
        *value += genai_value(loss);
        result = genai__learn_from(m, m->critic, more ? genai_add(loss, more) : loss, mark);
        genai_tape_release(m->ctx, mark);
    }
    if (!result && m->desc.penalty > 0) result = genai__learn_from(m, m->critic, genai__gradient_penalty(m, images[0], images[1]), before);
    genai_tape_release(m->ctx, before);
    if (!result) result = genai__learn_end(m, m->critic);
    if (!result && m->desc.clip > 0) genai__clip_weights(m->net[m->critic], m->desc.clip);
    return result;
}

/* What the last flatten gets, or what the last layer with weights gets. */
static int genai__feature_layer(const genai_net *d) {
    int i;
    for (i = d->layers - 1; i > 0; i--)
        if (d->layer[i].kind->shape == genai__shape_flatten) return i - 1;
    for (i = d->layers - 1; i > 0 && d->layer[i].kind->owns != GENAI__OWNS_WEIGHT; i--) {}
    return i - 1;
}

static genai_result genai__words_find(genai_ctx *ctx, const char *what, const char *name, const void *rows, size_t count, size_t size, size_t *found) {
    for (*found = 0; *found < count; ++*found)
        if (!strcmp(*(const char *const *)(const void *)((const char *)rows + *found * size), name)) return GENAI_OK;
    return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: there is no '%.40s', did you mean '%s'?", what, name,
                       genai__nearest(name, strlen(name), rows, count, size));
}

/* The adversarial loss, and whether it, the discriminator and the settings fit together. */
static genai_result genai__find_loss(genai_model *m) {
    const genai_model_desc *d = &m->desc;
    const genai_net        *net = m->net[GENAI__DISCRIMINATOR];
    const char             *missing = NULL;
    char                    dropout[48];
    int                     l, bounded = d->penalty > 0 || d->clip > 0;
    size_t                  i;
    GENAI__TRY(genai__words_find(m->ctx, "loss", d->loss, genai__gan_losses, GENAI__COUNT(genai__gan_losses), sizeof genai__gan_losses[0], &i));
    m->loss = &genai__gan_losses[i];
    if (m->loss->relative && m->family->painter != GENAI__GENERATOR)
        return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "loss %s is for family gan, not for a %s", d->loss, m->family->name);
    if ((d->smoothing > 0 || d->margin > 0) && !m->loss->probability)
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "%s is about a probability, which loss %s doesn't have: take nonsaturating, minimax or relativistic",
                           d->smoothing > 0 ? "smoothing" : "margin", d->loss);
    for (l = 0; l < net->layers; l++) {
        const genai__layer_kind *kind = net->layer[l].kind;
        bounded |= net->layer[l].spectral;
        if ((d->r1 > 0 || d->penalty > 0) && (kind->owns == GENAI__OWNS_SCALE_AND_STATISTICS || kind->forward == genai__forward_max_pool))
            return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "%s needs second derivatives of the discriminator, and for each image alone, so its layer %d can't be a "
                               "%s: take layernorm, or avgpool", d->r1 > 0 ? "r1" : "penalty", l, kind->name);
    }
    if (m->loss->middle < 0 && !bounded)
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "loss %s grows without end unless the discriminator's slope is bounded: set penalty (10), clip (0.01) or spectral_norm", d->loss);
    if (d->dropout > 0 && !strstr(d->discriminator, genai__text_dropout(m, dropout))) missing = dropout;
    if (d->minibatch_stddev && !strstr(d->discriminator, "stddev")) missing = "stddev";
    if (missing)
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "dropout and minibatch_stddev change the standard discriminator, but this one has a text of its own: write '%s' "
                           "into that", missing);
    return GENAI_OK;
}
static genai_result genai__find_likelihood(genai_model *m) {
    size_t       i;
    genai_result result = genai__words_find(m->ctx, "likelihood", m->desc.likelihood, genai__likelihoods, GENAI__COUNT(genai__likelihoods),
                                            sizeof genai__likelihoods[0], &i);
    if (!result) m->likelihood = &genai__likelihoods[i];
    return result;
}

/* The last layer of a net that makes values: those behind it only move them. */
static const genai__layer *genai__last_layer(const genai_net *net) {
    const genai__layer *l = &net->layer[net->layers - 1];
    while (l > net->layer && (l->kind->forward == genai__forward_reshape || l->kind->forward == genai__forward_crop || l->kind->forward == genai__forward_upsample)) l--;
    return l;
}

/* The encoder gives latents, not their distribution. */
static int genai__pointwise(const genai_model *m) {
    return m->desc.beta < 0 || m->family->roles & GENAI__ROLE(PRIOR) || (m->desc.divergence && !strcmp(m->desc.divergence, "mmd"));
}

/* The net to use, not to train: the averaged one if there is one. */
static genai_net *genai__best(const genai_model *m, int role) { return m->average[role] ? m->average[role] : m->net[role]; }

/* ====================================================================================================================
 * >>gan (private)
 * Generative adversarial networks (Goodfellow et al. 2014). A step is one update of the discriminator D on real and made
 * images, then, in every critic_steps-th, one of the generator G through the updated D. Both see the images made from the
 * same latents: G has not changed meanwhile, so its forward pass is still right and a second one is saved.
 *
 * Draws of a step, in their order, each only if it is wanted: the latents, G's dropout; for D its sight (augmentation, then
 * noise) of the real and of the made images, its dropout on the real, then on the made; for the gradient penalty the points
 * between and dropout; for G sight and dropout of the real images (relativistic loss and feature matching), then of the made.
 * ================================================================================================================= */

/* --- text --- */
static void genai__gan_text(const genai_model *m, int role, genai__text *t) {
    if (role == GENAI__DISCRIMINATOR) genai__text_critic(m, t, 64);
    else if (genai__condition(m, "projection")) genai__text_up(m, t, 32, m->dim[3], 1, "cbatchnorm | lrelu 0.2", " | tanh");
    else {
        if (m->desc.classes) genai__text_add(t, "label | ");
        genai__text_up(m, t, 32, m->dim[3], 1, "batchnorm | lrelu 0.2", " | tanh");
    }
}

/* --- create --- */
static genai_result genai__gan_create(genai_model *m) {
    GENAI__TRY(genai__find_loss(m));
    m->auxiliary = genai__condition(m, "auxiliary");
    m->feature_layer = genai__feature_layer(m->net[GENAI__DISCRIMINATOR]);
    if (m->desc.feature_matching > 0 && m->feature_layer < 0)
        return genai__fail(m->ctx, GENAI_ERROR_SHAPE, "feature_matching needs a discriminator of two layers or more");
    for (const char *p = strcmp(m->desc.augment, "none") ? m->desc.augment : ""; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
        char   word[24];
        size_t n = strcspn(p, " "), i;
        snprintf(word, sizeof word, "%.*s", (int)(n < 20 ? n : 20), p);
        GENAI__TRY(genai__words_find(m->ctx, "augment", word, genai__augment_words, GENAI__COUNT(genai__augment_words), sizeof *genai__augment_words, &i));
        m->augment |= 1u << i;
    }
    GENAI__TRY(genai__model_optimizer(m, m->desc.lr, GENAI__GENERATOR, -1));
    return genai__model_optimizer(m, m->desc.lr_discriminator, GENAI__DISCRIMINATOR, -1);
}

/* --- step --- */
/* The generator's loss: to be taken for real; with auxiliary to be of its class, with feature_matching (Salimans et al. 2016,
 * section 3.1) to have the same mean features. *value: the first alone. */
static genai_tensor *genai__gan_generator_loss(genai_model *m, genai_tensor *x, genai_tensor *fake, float *value) {
    genai_tensor *real = NULL, *wanted = NULL, *features = NULL, *classes, *logits, *loss;
    float         weight = m->desc.feature_matching;
    if (m->loss->relative || weight > 0) {
        int was = genai_recording(m->ctx, 0);
        real = genai__judge(m, genai__seen(m, x), GENAI_TRAIN_FROZEN, &classes, weight > 0 ? &wanted : NULL);
        genai_recording(m->ctx, was);
    }
    logits = genai__judge(m, genai__seen(m, fake), GENAI_TRAIN_FROZEN, &classes, weight > 0 ? &features : NULL);
    loss = m->loss->generator(m->loss->relative ? genai__relative(logits, real) : logits);
    if (m->loss->relative) loss = genai_add(loss, m->loss->discriminator(genai__relative(real, logits), 0)); /* real ones to be taken for made */
    *value = genai_value(loss);
    if (classes) loss = genai_add(loss, genai_cross_entropy_loss(classes, m->labels));
    if (weight > 0) loss = genai_add(loss, genai_scale(genai_sum(genai_square(genai_sub(genai_mean(features, 1), genai_mean(wanted, 1))), 0), weight, 0));
    return loss;
}

static genai_result genai__gan_step(genai_model *m, genai_tensor *x, float *value) {
    genai_net    *d = m->net[GENAI__DISCRIMINATOR];
    genai_tensor *z = genai__latents(m, x->dim[0]), *fake, *loss;
    int           learns = (m->steps + 1) % m->desc.critic_steps == 0; /* else G's passes leave nothing behind, its statistics neither */
    genai_recording(m->ctx, learns);
    fake = genai__images(m, genai__forward(m, m->net[GENAI__GENERATOR], z, learns ? GENAI_TRAIN : GENAI_TRAIN_FROZEN));
    genai_recording(m->ctx, 1);
    GENAI__TRY(genai__learn_discriminator(m, x, fake, NULL, &value[0]));
    genai_result result = GENAI_OK;
    genai_net_trainable(d, 0);
    genai_recording(m->ctx, learns);
    loss = genai__gan_generator_loss(m, x, fake, &value[1]);
    genai_recording(m->ctx, 1);
    if (learns) result = genai__learn(m, GENAI__GENERATOR, loss, m->mark);
    else if (!loss) result = genai__result_of(m->ctx);
    genai_net_trainable(d, 1);
    return result;
}

static const genai__family genai__gan = {
    "gan", {"discriminator", "generator", NULL, NULL, NULL}, GENAI__ROLE(GENERATOR) | GENAI__ROLE(DISCRIMINATOR), GENAI__ROLE(GENERATOR),
    GENAI__GENERATOR, genai__gan_text, genai__gan_create, genai__gan_step, NULL, NULL, NULL, NULL, NULL, 0,
};

/* ====================================================================================================================
 * >>vae (private)
 * Variational autoencoders (Kingma and Welling 2014): loss = -log p(x|z) + beta KL(q(z|x) || N(0,1)), both summed over
 * pixels or latents and averaged over the batch, so that beta 1 is the bound itself. beta GENAI_ZERO is a plain
 * autoencoder: the encoder gives the latents themselves; so it does in a Wasserstein autoencoder, whose latents of a batch
 * are held against as many from the prior. importance is for the bound of Burda et al.
 * ================================================================================================================= */

/* --- text --- */
static void genai__vae_text(const genai_model *m, int role, genai__text *t) {
    const char *likelihood = m->desc.likelihood ? m->desc.likelihood : "";
    int         halves = !strcmp(likelihood, "gaussian_learned");
    if (m->desc.classes) genai__text_add(t, "label | ");
    if (role == GENAI__DECODER) genai__text_up(m, t, 32, m->dim[3] * (1 + halves), 0, "batchnorm | relu", halves || !strcmp(likelihood, "bernoulli") ? "" : " | tanh");
    else {
        char end[40];
        sprintf(end, genai__pointwise(m) ? "dense %d" : "dense 2*%d", m->desc.latent);
        genai__text_down(m, t, 32, "batchnorm | lrelu 0.2", end);
    }
}

/* --- create --- */
static genai_result genai__autoencoder_check(genai_model *m) { /* for all families with an encoder */
    int                 dim[3] = {1, 1, 1}, outputs, latents = m->desc.latent * (genai__pointwise(m) ? 1 : 2);
    const genai__layer *last = genai__last_layer(m->net[GENAI__DECODER]);
    genai_net_output(m->net[GENAI__ENCODER], dim);
    outputs = dim[0] * dim[1] * dim[2];
    if (m->likelihood->features && (!m->net[GENAI__DISCRIMINATOR] || m->family->takes))
        return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "likelihood 'features' needs a discriminator of images: take family vaegan, or 'bernoulli' or 'mse'");
    if (outputs != latents && !m->net[GENAI__PRIOR])
        return genai__fail(m->ctx, GENAI_ERROR_SHAPE, "encoder: its output has %d values, but %s of %d latents are %d (end it with 'dense %s$Z')", outputs,
                           genai__pointwise(m) ? "the values" : "mean and log-variance", m->desc.latent, latents, genai__pointwise(m) ? "" : "2*");
    if ((m->likelihood->logits || m->likelihood->halves) && (last->kind->forward == genai__forward_sigmoid || last->kind->forward == genai__forward_tanh))
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "decoder: with likelihood %s it gives %s, so it must not end with %s", m->likelihood->name,
                           m->likelihood->logits ? "logits" : "means and log-variances", last->kind->name);
    return GENAI_OK;
}

static genai_result genai__binarise_check(genai_model *m) {
    if (!m->desc.binarise || m->likelihood->logits) return GENAI_OK;
    return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "binarise makes pixels 0 or 1, of which likelihood '%s' knows nothing: take 'bernoulli'", m->likelihood->name);
}

static genai_result genai__vae_create(genai_model *m) {
    const genai_model_desc *d = &m->desc;
    GENAI__TRY(genai__autoencoder_check(m));
    if (d->importance > 1 && (genai__pointwise(m) || d->free_bits > 0))
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "importance %d needs a posterior and the whole KL: not divergence mmd, beta 0 or free_bits", d->importance);
    if (d->free_bits > 0 && genai__pointwise(m))
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "free_bits are about the KL of a posterior, which there isn't with divergence mmd or beta 0");
    GENAI__TRY(genai__binarise_check(m));
    return genai__model_optimizer(m, m->desc.lr, GENAI__ENCODER, GENAI__DECODER);
}

/* --- step --- */
/* Mean and log-variance of q(z|x); the latter within +-10, beyond which exp(log_var) would only overflow. Where the encoder
 * gives latents there is the mean only. Returns 0 on failure. */
static int genai__posterior(genai_model *m, genai_net *encoder, genai_tensor *x, genai_mode mode, genai_tensor **mean, genai_tensor **log_var) {
    genai_tensor *h = genai__rows(genai__forward(m, encoder, x, mode));
    *mean = h;
    *log_var = NULL;
    if (!h || genai__pointwise(m)) return h != NULL;
    *mean = genai_slice(h, 1, 0, m->desc.latent);
    *log_var = genai_clamp(genai_slice(h, 1, m->desc.latent, m->desc.latent), -10, 10);
    return *mean && *log_var;
}

/* z = mean + exp(log_var/2) noise (section 2.4). */
static genai_tensor *genai__reparameterise(genai_tensor *mean, genai_tensor *log_var, genai_tensor *noise) {
    return log_var ? genai_add(mean, genai_mul(genai_exp(genai_scale(log_var, 0.5f, 0)), noise)) : mean;
}

/* beta of this step. */
static float genai__beta(const genai_model *m) {
    if (m->desc.beta < 0) return 0;
    if (m->steps >= m->desc.beta_warmup) return m->desc.beta;
    return m->desc.beta * ((float)m->steps / (float)m->desc.beta_warmup);
}

/* The KL term; *value is the KL itself. With free bits, the sum over latents of the larger of free_bits and the latent's KL
 * in the mean of the batch (Kingma et al. 2016, eq. 15, with a group for each latent). */
static genai_tensor *genai__kl(const genai_model *m, genai_tensor *mean, genai_tensor *log_var, float *value) {
    genai_tensor *kl = genai_kl_loss(mean, log_var);
    *value = genai_value(kl);
    if (!kl || !(m->desc.free_bits > 0)) return kl;
    kl = genai_sub(genai_add(genai_exp(log_var), genai_square(mean)), genai_scale(log_var, 1, 1));
    return genai_sum(genai_max(genai_mean(genai_scale(kl, 0.5f, 0), 1), genai_scalar(m->ctx, m->desc.free_bits)), 0);
}

/* Sum over pairs of a's and b's rows of sum over s of C/(C + |a-b|^2), C = 2 Z s (Tolstikhin et al. 2018, section 4, with the
 * scales s of their code); pairs of a row with itself are left out where a is b. */
static genai_tensor *genai__kernel_sum(genai_tensor *a, genai_tensor *b) {
    static const float scales[] = {0.1f, 0.2f, 0.5f, 1, 2, 5, 10};
    genai_tensor *sum = NULL;
    if (!a || !b) return NULL;
    genai_tensor *aa = genai_sum(genai_square(a), 2);
    genai_tensor *bb = genai__matrix(genai_sum(genai_square(b), 2), 1, b->dim[0]);
    genai_tensor *ab = genai_relu(genai_sub(genai_add(aa, bb), genai_scale(genai_matmul(a, b, 0, 1), 2, 0)));
    genai_tensor *others = ab ? genai_tensor_of(ab->ctx, 2, ab->dim, NULL) : NULL;
    for (int i = 0; others && i < (int)others->count; i++) others->data[i] = a != b || i % (b->dim[0] + 1) ? 1.0f : 0.0f;
    for (int i = 0; i < (int)GENAI__COUNT(scales); i++) {
        float         c = 2 * (float)a->dim[1] * scales[i];
        genai_tensor *k = genai_div(genai_scale(others, c, 0), genai_scale(ab, 1, c));
        sum = i ? genai_add(sum, k) : k;
    }
    return genai_sum(sum, 0);
}

/* Unbiased estimate of MMD^2 between the latents of a batch, two or more, and as many from the prior (algorithm 2). */
static genai_tensor *genai__mmd(genai_model *m, genai_tensor *z, float *value) {
    int           n = z->dim[0];
    genai_tensor *prior = genai__latents(m, n), *within = genai__kernel_sum(z, z), *across = genai__kernel_sum(z, prior);
    within = genai_scale(genai_add(within, genai__kernel_sum(prior, prior)), (float)(1 / ((double)n * (n - 1))), 0);
    within = genai_sub(within, genai_scale(across, (float)(2 / ((double)n * n)), 0));
    *value = genai_value(within);
    return within;
}

/* Rows of t, k times one after the other. */
static genai_tensor *genai__tiled(genai_tensor *t, int k) {
    int dim[4], i;
    memcpy(dim, t->dim, sizeof dim);
    dim[0] *= k;
    genai_tensor *y = genai_tensor_of(t->ctx, t->ndim, dim, NULL);
    for (i = 0; y && i < k; i++) memcpy(y->data + (size_t)i * t->count, t->data, t->count * sizeof(float));
    return y;
}

/* log of the sum of exp over the last dim, [N,D] to [N,1]; its gradient is the softmax. */
static genai_tensor *genai__log_sum_exp(genai_tensor *x) {
    if (!x) return NULL;
    genai_tensor *most = genai__matrix_of(x->ctx, x->dim[0], 1, NULL);
    for (int i = 0; most && i < x->dim[0]; i++) most->data[i] = x->ctx->kernels->maximum((size_t)x->dim[1], x->data + (size_t)i * (size_t)x->dim[1]);
    return genai_add(genai_log(genai_sum(genai_exp(genai_sub(x, most)), 2)), most);
}

/* log p(x|z) + beta (log p(z) - log q(z|x)) of k samples for each image, as [k*n,1]: sample after sample. noise [k,n,Z]. */
static genai_tensor *genai__log_weights(genai_model *m, genai_tensor *x, genai_tensor *mean, genai_tensor *log_var, genai_tensor *noise, float beta, genai_mode mode) {
    const int *labels = m->labels;
    if (!noise || !mean || !log_var) return NULL;
    int           k = noise->dim[0], n = noise->dim[1];
    genai_tensor *z = genai__matrix(genai__reparameterise(mean, log_var, noise), -1, m->desc.latent);
    genai_tensor *ratio = genai_sub(genai_add(log_var, genai_square(noise)), genai_square(genai_reshape(z, 3, noise->dim))); /* the 2 pi cancel */
    ratio = genai__matrix(genai_sum(ratio, 4), -1, 1);
    if (labels && k > 1) {
        int *tiled = (int *)genai__arena(m->ctx, (size_t)k * (size_t)n * sizeof *tiled);
        if (!tiled) return NULL;
        for (int i = 0; i < k; i++) memcpy(tiled + (size_t)i * (size_t)n, labels, (size_t)n * sizeof *tiled);
        m->labels = tiled;
    }
    genai_tensor *y = genai__forward(m, mode == GENAI_TRAIN ? m->net[GENAI__DECODER] : genai__best(m, GENAI__DECODER), z, mode);
    m->labels = labels;
    return genai_sub(genai_scale(ratio, 0.5f * beta, 0), genai__reconstructions(m, y, k > 1 ? genai__tiled(x, k) : x));
}

/* -log (1/k) sum of p(x,z)/q(z|x) over k samples z, in the mean of the batch (Burda et al. 2016, eq. 8). */
static genai_tensor *genai__importance_loss(genai_model *m, genai_tensor *x, genai_tensor *mean, genai_tensor *log_var) {
    int dim[3] = {m->desc.importance, x->dim[0], m->desc.latent}, order[2] = {1, 0};
    genai_tensor *w = genai__log_weights(m, x, mean, log_var, genai_random_normal(m->ctx, 3, dim), genai__beta(m), GENAI_TRAIN);
    w = genai__log_sum_exp(genai_transpose(genai_reshape(w, 2, dim), order));
    return genai_scale(genai_mean(w, 0), -1, (float)genai__log(m->desc.importance));
}

/* The update of encoder and decoder; the latter rests where it has an optimiser of its own and `decoder` is 0. */
static genai_result genai__learn_autoencoder(genai_model *m, genai_tensor *loss, int decoder) {
    int own = m->optimizer[GENAI__DECODER] != NULL;
    genai__learn_begin(m, GENAI__ENCODER);
    if (own && decoder) genai__learn_begin(m, GENAI__DECODER);
    if (!decoder) genai_net_trainable(m->net[GENAI__DECODER], 0);
    genai_result result = genai__learn_from(m, GENAI__ENCODER, loss, m->mark);
    if (!decoder) genai_net_trainable(m->net[GENAI__DECODER], 1);
    if (!result) result = genai__learn_end(m, GENAI__ENCODER);
    if (!result && own && decoder) result = genai__learn_end(m, GENAI__DECODER);
    return result;
}

static genai_result genai__vae_step(genai_model *m, genai_tensor *x, float *value) {
    genai_tensor *mean, *log_var, *z, *y, *loss, *kl;
    if (!genai__posterior(m, m->net[GENAI__ENCODER], x, GENAI_TRAIN, &mean, &log_var)) return genai__result_of(m->ctx);
    if (m->desc.importance > 1) { /* what the bound leaves is the reconstruction's, so that both add up to it */
        value[1] = genai_value(genai_kl_loss(mean, log_var));
        loss = genai__importance_loss(m, x, mean, log_var);
        value[0] = genai_value(loss) - genai__beta(m) * value[1];
        return genai__learn_autoencoder(m, loss, 1);
    }
    z = genai__reparameterise(mean, log_var, log_var ? genai__latents(m, x->dim[0]) : NULL);
    y = genai__forward(m, m->net[GENAI__DECODER], z, GENAI_TRAIN);
    loss = genai__reconstruction(m, y, x);
    value[0] = genai_value(loss);
    if (log_var || (m->desc.beta > 0 && x->dim[0] > 1)) {
        kl = log_var ? genai__kl(m, mean, log_var, &value[1]) : genai__mmd(m, z, &value[1]);
        loss = genai_add(loss, genai_scale(kl, genai__beta(m), 0));
    }
    return genai__learn_autoencoder(m, loss, 1);
}

/* --- encode: the posterior's mean, so that two calls agree --- */
static genai_tensor *genai__vae_encode(genai_model *m, genai_tensor *x) {
    genai_tensor *mean, *log_var;
    return genai__posterior(m, genai__best(m, GENAI__ENCODER), genai__binarised(m, x, 0), GENAI_EVAL, &mean, &log_var) ? mean : NULL;
}

/* --- evaluate: the loss with beta 1, one posterior sample an image --- */
static const char *genai__vae_measure(const genai_model *m) { return genai__pointwise(m) ? m->likelihood->error : m->likelihood->measure; }

static float *genai__model_scratch(genai_model *m, size_t count) {
    if (count <= m->scratch_count) return m->scratch;
    genai__free(m->ctx, m->scratch);
    m->scratch = (float *)genai__alloc(m->ctx, count, sizeof *m->scratch);
    m->scratch_count = m->scratch ? count : 0;
    return m->scratch;
}

/* Latents number first, first + 1, ... of a stream, into scratch: each depends on its number alone. */
static float *genai__fixed_latents(genai_model *m, uint32_t stream, uint64_t step, size_t first, int n) {
    size_t z = (size_t)m->desc.latent;
    float *to = genai__model_scratch(m, (size_t)n * z);
    for (int i = 0; to && i < n; i++) genai__normal(m->ctx, 0, stream, step, (uint32_t)(first + (size_t)i), z, to + (size_t)i * z);
    return to;
}

/* A draw from the posterior, whose noise belongs to the image's number. */
static genai_tensor *genai__posterior_draw(genai_model *m, genai_tensor *x, size_t first, genai_tensor **mean, genai_tensor **log_var) {
    if (!genai__posterior(m, genai__best(m, GENAI__ENCODER), x, GENAI_EVAL, mean, log_var)) return NULL;
    float *noise = *log_var ? genai__fixed_latents(m, GENAI__STREAM_EVALUATE, 0, first, x->dim[0]) : NULL;
    return genai__reparameterise(*mean, *log_var, noise ? genai_tensor_of(m->ctx, 2, (*mean)->dim, noise) : NULL);
}

static genai_result genai__vae_evaluate(genai_model *m, genai_tensor *x, size_t first, double *sum) {
    genai_tensor *mean, *log_var, *z, *loss;
    x = genai__binarised(m, x, 0);
    z = genai__posterior_draw(m, x, first, &mean, &log_var);
    loss = z ? genai__reconstruction(m, genai__forward(m, genai__best(m, GENAI__DECODER), z, GENAI_EVAL), x) : NULL;
    if (loss && log_var) loss = genai_add(loss, genai_kl_loss(mean, log_var));
    if (!loss) return genai__result_of(m->ctx);
    *sum += (double)genai_value(loss) * x->dim[0];
    return GENAI_OK;
}

/* The same, of -log p(x) by k samples an image (Burda et al. 2016, section 5), one pass for each, added up as they come: sample
 * s of image i has the noise of step s. */
static genai_result genai__vae_nll(genai_model *m, genai_tensor *x, size_t first, int k, double *sum) {
    genai_tensor *mean, *log_var, *noise, *w;
    int           n = x->dim[0], dim[3] = {1, n, m->desc.latent}, i, s;
    double        most[GENAI__PORTION], total[GENAI__PORTION];
    x = genai__binarised(m, x, 0);
    if (!genai__posterior(m, genai__best(m, GENAI__ENCODER), x, GENAI_EVAL, &mean, &log_var)) return genai__result_of(m->ctx);
    for (s = 0; s < k; s++) {
        size_t mark = genai_tape_mark(m->ctx);
        float *values = genai__fixed_latents(m, GENAI__STREAM_EVALUATE, (uint64_t)s, first, n);
        noise = values ? genai_tensor_of(m->ctx, 3, dim, values) : NULL;
        w = genai__log_weights(m, x, mean, log_var, noise, 1, GENAI_EVAL);
        if (!w) return genai__result_of(m->ctx);
        for (i = 0; i < n; i++) {
            double l = (double)w->data[i];
            if (!s || l > most[i]) {
                total[i] = s ? total[i] * genai__exp(most[i] - l) + 1 : 1;
                most[i] = l;
            } else total[i] += genai__exp(l - most[i]);
        }
        genai_tape_release(m->ctx, mark);
    }
    for (i = 0; i < n; i++) *sum -= most[i] + genai__log(total[i] / k);
    return GENAI_OK;
}

static const genai__family genai__vae = {
    "vae", {"reconstruction", "kl", NULL, NULL, NULL}, GENAI__ROLE(ENCODER) | GENAI__ROLE(DECODER), GENAI__ROLE(ENCODER) | GENAI__ROLE(DECODER),
    GENAI__DECODER, genai__vae_text, genai__vae_create, genai__vae_step, genai__vae_encode, genai__vae_measure, genai__vae_evaluate, NULL, NULL, 0,
};

/* ====================================================================================================================
 * >>vaegan (private)
 * Autoencoding beyond pixels (Larsen et al. 2016): a VAE whose decoder is also a GAN's generator. Who learns from what
 * (algorithm 1), and nothing else:
 *   encoder        beta KL + reconstruction
 *   decoder        gamma reconstruction + adversarial, on reconstructions and on images from the prior
 *   discriminator  adversarial, on real images, reconstructions and images from the prior
 * That is likelihood "features": the reconstruction is the squared error between the discriminator's features of x and of
 * its reconstruction, plus the same between pixels, since features alone let the colours of small data drift. With another
 * likelihood, encoder and decoder learn from the plain sum gamma reconstruction + beta KL + adversarial.
 * ================================================================================================================= */

/* --- text --- */
static void genai__vaegan_text(const genai_model *m, int role, genai__text *t) {
    int small = role == GENAI__DECODER && !strcmp(m->desc.likelihood, "features");
    if (m->desc.classes && small) genai__text_add(t, "label | ");
    if (role == GENAI__DISCRIMINATOR) genai__text_critic(m, t, 32);
    else if (small) genai__text_up(m, t, 16, m->dim[3], 0, "batchnorm | lrelu 0.2", " | tanh");
    else genai__vae_text(m, role, t);
}

/* --- create --- */
static genai_result genai__vaegan_create(genai_model *m) {
    GENAI__TRY(genai__autoencoder_check(m));
    if (m->desc.beta < 0) return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "a vaegan samples from the prior, so beta can't be 0");
    GENAI__TRY(genai__find_loss(m));
    m->feature_layer = genai__feature_layer(m->net[GENAI__DISCRIMINATOR]);
    if (m->likelihood->features && m->feature_layer < 0)
        return genai__fail(m->ctx, GENAI_ERROR_SHAPE, "likelihood 'features' needs a discriminator of two layers or more");
    GENAI__TRY(genai__model_optimizer(m, m->desc.lr, GENAI__ENCODER, m->desc.margin > 0 ? -1 : GENAI__DECODER));
    if (m->desc.margin > 0) GENAI__TRY(genai__model_optimizer(m, m->desc.lr, GENAI__DECODER, -1));
    return genai__model_optimizer(m, m->desc.lr_discriminator, GENAI__DISCRIMINATOR, -1);
}

/* --- step --- */
/* Who learns in this step, by the discriminator's losses on real and on made images (Larsen et al.'s code). */
static void genai__balance(float real, float fake, float margin, int *discriminator, int *decoder) {
    *discriminator = real >= 0.68f - margin && fake >= 0.68f - margin;
    *decoder = real <= 0.68f + margin && fake <= 0.68f + margin;
    if (!*discriminator && !*decoder) *discriminator = *decoder = 1;
}

static genai_result genai__vaegan_step(genai_model *m, genai_tensor *x, float *value) {
    genai_ctx    *ctx = m->ctx;
    genai_net    *d = m->net[GENAI__DISCRIMINATOR], *decoder = m->net[GENAI__DECODER];
    genai_tensor *mean, *log_var, *z, *code, *y, *other, *made, *dz, *kl, *reconstruction, *adversarial, *real = NULL, *features = NULL, *logits;
    int           features_too = m->likelihood->features, judge = 1, paint = 1, was;
    if (m->steps < m->desc.vae_steps) return genai__vae_step(m, x, value);

    if (!genai__posterior(m, m->net[GENAI__ENCODER], x, GENAI_TRAIN, &mean, &log_var)) return genai__result_of(ctx);
    z = genai__reparameterise(mean, log_var, genai__latents(m, x->dim[0]));
    code = features_too ? genai_detach(z) : z; /* a leaf: what follows tells the encoder nothing but through dz */
    if (code) code->requires_grad = 1;
    y = genai__forward(m, decoder, code, GENAI_TRAIN);
    other = genai__painted(m, genai__forward(m, decoder, genai__latents(m, x->dim[0]), GENAI_TRAIN_FROZEN));
    made = genai__painted(m, y);
    if (m->desc.margin > 0) {
        genai_tensor *loss[3];
        was = genai_recording(ctx, 0);
        loss[0] = m->loss->discriminator(genai__forward(m, d, x, GENAI_TRAIN_FROZEN), 1 - m->desc.smoothing);
        loss[1] = m->loss->discriminator(genai__forward(m, d, made, GENAI_TRAIN_FROZEN), 0);
        loss[2] = m->loss->discriminator(genai__forward(m, d, other, GENAI_TRAIN_FROZEN), 0);
        genai_recording(ctx, was);
        value[2] = genai_value(loss[0]) + genai_value(loss[1]) + genai_value(loss[2]);
        genai__balance(genai_value(loss[0]), genai_value(loss[2]), m->desc.margin, &judge, &paint);
    }
    GENAI__TRY(judge ? genai__learn_discriminator(m, x, made, other, &value[2]) : GENAI_OK);

    genai_net_trainable(d, 0); /* from here on the updated discriminator, as a constant */
    if (features_too) {
        was = genai_recording(ctx, 0);
        genai__net_forward(d, x, m->labels, GENAI_TRAIN_FROZEN, m->feature_layer, &real);
        genai_recording(ctx, was);
    }
    logits = genai__net_forward(d, made, m->labels, GENAI_TRAIN_FROZEN, features_too ? m->feature_layer : 0, &features);
    adversarial = m->loss->generator(logits);
    adversarial = genai_add(adversarial, m->loss->generator(genai__forward(m, d, other, GENAI_TRAIN_FROZEN)));
    reconstruction = genai__reconstruction(m, y, x);
    if (features_too) reconstruction = genai_add(reconstruction, genai_mse_loss(features, real));
    kl = genai__kl(m, mean, log_var, &value[1]);
    value[0] = genai_value(reconstruction);
    value[3] = genai_value(adversarial);
    if (!reconstruction || !adversarial || !kl) return genai__result_of(ctx);
    genai_tensor *decoder_loss = genai_add(genai_scale(reconstruction, m->desc.gamma < 0 ? 0 : m->desc.gamma, 0), adversarial);
    genai_tensor *encoder_loss = genai_scale(kl, genai__beta(m), 0);
    if (features_too) {
        GENAI__TRY(genai_grad(reconstruction, 1, &code, &dz, 0));
        encoder_loss = genai_add(encoder_loss, genai_sum(genai_mul(z, dz), 0)); /* d/dz of the sum is dz */
    }
    genai_result result = genai__learn_autoencoder(m, genai_add(decoder_loss, encoder_loss), paint);
    genai_net_trainable(d, 1);
    return result;
}

static const genai__family genai__vaegan = {
    "vaegan", {"reconstruction", "kl", "discriminator", "generator", NULL},
    GENAI__ROLE(ENCODER) | GENAI__ROLE(DECODER) | GENAI__ROLE(DISCRIMINATOR), GENAI__ROLE(ENCODER) | GENAI__ROLE(DECODER),
    GENAI__DECODER, genai__vaegan_text, genai__vaegan_create, genai__vaegan_step, genai__vae_encode, genai__vae_measure, genai__vae_evaluate, NULL, NULL, 0,
};

/* ====================================================================================================================
 * >>aae (private)
 * Adversarial autoencoders (Makhzani et al. 2016, section 2): a plain autoencoder whose latents a discriminator can't tell
 * from the prior's. A step is the paper's two phases: encoder and decoder learn from the reconstruction; then the
 * discriminator from latents of both kinds, and the encoder, with an optimiser of its own for that, to be taken for the
 * prior.
 * ================================================================================================================= */

/* --- text --- */
static void genai__aae_text(const genai_model *m, int role, genai__text *t) {
    char between[64];
    genai__text_lrelu(m, between);
    if (role == GENAI__DISCRIMINATOR) genai__text_format(t, "dense 256 | %s | dense 256 | %s | dense 1", between, between);
    else genai__vae_text(m, role, t);
}
static int genai__aae_takes(const genai_model *m, int role) { return role == GENAI__DISCRIMINATOR ? m->desc.latent : 0; }

/* --- create --- */
static genai_result genai__aae_create(genai_model *m) {
    GENAI__TRY(genai__autoencoder_check(m));
    GENAI__TRY(genai__find_loss(m));
    GENAI__TRY(genai__model_optimizer(m, m->desc.lr, GENAI__ENCODER, GENAI__DECODER));
    GENAI__TRY(genai__model_optimizer(m, m->desc.lr_discriminator, GENAI__DISCRIMINATOR, -1));
    return genai__optimizer_at(m, GENAI__GENERATOR, m->desc.lr, GENAI__ENCODER, -1);
}

/* --- step --- */
static genai_result genai__aae_step(genai_model *m, genai_tensor *x, float *value) {
    genai_net    *d = m->net[GENAI__DISCRIMINATOR], *encoder = m->net[GENAI__ENCODER];
    size_t        mark = genai_tape_mark(m->ctx);
    genai_tensor *z = genai__rows(genai__forward(m, encoder, x, GENAI_TRAIN)), *prior;
    genai_tensor *loss = genai__reconstruction(m, genai__forward(m, m->net[GENAI__DECODER], z, GENAI_TRAIN), x);
    value[0] = genai_value(loss);
    GENAI__TRY(genai__learn(m, GENAI__ENCODER, loss, mark)); /* keeps x */
    prior = genai__latents(m, x->dim[0]);
    z = genai__rows(genai__forward(m, encoder, x, GENAI_TRAIN_FROZEN)); /* of the updated encoder */
    if (!z || !prior) return genai__result_of(m->ctx);
    GENAI__TRY(genai__learn_discriminator(m, prior, z, NULL, &value[1]));
    genai_net_trainable(d, 0);
    loss = m->loss->generator(genai__forward(m, d, z, GENAI_TRAIN_FROZEN));
    value[2] = genai_value(loss);
    genai_result result = genai__learn(m, GENAI__GENERATOR, loss, m->mark);
    genai_net_trainable(d, 1);
    return result;
}

static const genai__family genai__aae = {
    "aae", {"reconstruction", "discriminator", "generator", NULL, NULL},
    GENAI__ROLE(ENCODER) | GENAI__ROLE(DECODER) | GENAI__ROLE(DISCRIMINATOR), GENAI__ROLE(ENCODER) | GENAI__ROLE(DECODER),
    GENAI__DECODER, genai__aae_text, genai__aae_create, genai__aae_step, genai__vae_encode, genai__vae_measure, genai__vae_evaluate, genai__aae_takes, NULL, 0,
};

/* ====================================================================================================================
 * >>vqvae (private)
 * Vector quantisation (van den Oord et al. 2017): the encoder gives a grid of vectors, each is replaced by the nearest of a
 * codebook, and the decoder paints the grid. Encoder and decoder learn from
 *   -log p(x|e) + beta |v - e|^2      v: what the encoder gave, e: the codes; |.|^2 summed over the grid
 * where e = v - (v - e) passes its gradient on to v unchanged. The codes are running means of the vectors that they stand
 * for (appendix A.1), and those that stand for hardly any begin anew at a vector of the batch. To sample, a small net learns
 * beside them which code follows the codes above and to the left.
 * ================================================================================================================= */
#define GENAI__CODE_DECAY 0.99f /* of the running means                                                                */
#define GENAI__CODE_DEAD 20     /* a code is dead when it is used so many times less than the mean                     */

/* What the net of the prior sees of a cell: these cells (row, column; zeros outside), the mean of all cells before it, and where it is. */
static const int genai__code_neighbours[][2] = {{0, -1}, {0, -2}, {-1, -2}, {-1, -1}, {-1, 0}, {-1, 1}, {-1, 2}, {-2, 0}};
#define GENAI__NEIGHBOURS ((int)GENAI__COUNT(genai__code_neighbours))

/* --- text: halved until the grid's smaller side is 10 or less, three times at most for sides up to 128 --- */
static int genai__vqvae_levels(const genai_model *m) {
    int side = m->dim[1] < m->dim[2] ? m->dim[1] : m->dim[2], levels = 0;
    for (; side > 10 && (levels < 3 || side > 16); side = (side + 1) / 2) levels++;
    return levels;
}
static int genai__vqvae_cells(const genai_model *m) {
    return genai__halved(m->dim[1], genai__vqvae_levels(m)) * genai__halved(m->dim[2], genai__vqvae_levels(m));
}
static void genai__vqvae_text(const genai_model *m, int role, genai__text *t) {
    int levels = genai__vqvae_levels(m), h = genai__halved(m->dim[1], levels), w = genai__halved(m->dim[2], levels), level;
    int halves = !strcmp(m->desc.likelihood, "gaussian_learned");
    if (role == GENAI__PRIOR) genai__text_format(t, "dense 256 | relu | dense 256 | relu | dense %d", m->desc.codes);
    else if (role == GENAI__ENCODER) {
        for (level = 1; level <= levels; level++) genai__text_format(t, "conv %d k4 s2 | batchnorm | lrelu 0.2 | ", genai__channels(level, 32, 128));
        genai__text_format(t, "conv %d k3 | batchnorm | lrelu 0.2 | conv %d k1", genai__channels(levels + 1, 32, 128), m->desc.code_size);
    } else {
        genai__text_format(t, "reshape %dx%dx%d | conv %d k3 | batchnorm | relu | ", h, w, m->desc.code_size, genai__channels(levels + 1, 32, 128));
        for (level = levels; level > 1; level--) genai__text_format(t, "convt %d k4 s2 | batchnorm | relu | ", genai__channels(level, 32, 128));
        genai__text_format(t, levels ? "convt %d k4 s2" : "conv %d k3", m->dim[3] * (1 + halves));
        if (h << levels != m->dim[1] || w << levels != m->dim[2]) genai__text_format(t, " | crop %dx%d", m->dim[1], m->dim[2]);
        if (!halves && strcmp(m->desc.likelihood, "bernoulli")) genai__text_add(t, " | tanh");
    }
}
static int genai__vqvae_takes(const genai_model *m, int role) { return role == GENAI__PRIOR ? (GENAI__NEIGHBOURS + 1) * m->desc.code_size + 2 : 0; }

/* --- create --- */
static genai_result genai__vqvae_create(genai_model *m) {
    int dim[3], ndim = genai_net_output(m->net[GENAI__ENCODER], dim), size[2] = {m->desc.codes, m->desc.code_size};
    GENAI__TRY(genai__autoencoder_check(m));
    if (m->desc.beta < 0) return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "a vqvae's beta, the weight of the commitment, can't be 0");
    if (ndim != 3 || dim[2] != m->desc.code_size || dim[0] * dim[1] * dim[2] != m->desc.latent)
        return genai__fail(m->ctx, GENAI_ERROR_SHAPE, "encoder: its output is %dx%dx%d, but must be a grid of vectors of %d values, %d in all: set latent, or end it with 'conv %d'",
                           dim[0], dim[1], dim[2], m->desc.code_size, m->desc.latent, m->desc.code_size);
    ndim = genai_net_output(m->net[GENAI__PRIOR], dim);
    int outputs = dim[0] * dim[1] * dim[2];
    if (ndim != 1 || outputs != m->desc.codes)
        return genai__fail(m->ctx, GENAI_ERROR_SHAPE, "prior: its output has %d values, but there are %d codes (end it with 'dense %d')", outputs, m->desc.codes, m->desc.codes);
    for (int i = GENAI__CODES; i <= GENAI__CODE_SUMS; i++) {
        m->extra[i] = genai_tensor_create(m->ctx, i == GENAI__CODE_COUNTS ? 1 : 2, size);
        if (!m->extra[i]) return genai__result_of(m->ctx);
        m->extra[i]->name = genai__extra_names[i];
    }
    GENAI__TRY(genai__model_optimizer(m, m->desc.lr, GENAI__ENCODER, GENAI__DECODER));
    return genai__model_optimizer(m, m->desc.lr, GENAI__PRIOR, -1);
}

/* --- the codebook --- */
/* Codes that are used too little, at first all, become vectors of the batch v [rows, code_size]. */
static void genai__codes_revive(genai_model *m, const genai_tensor *v) {
    size_t size = (size_t)m->desc.code_size, k, i;
    float *count = m->extra[GENAI__CODE_COUNTS]->data, mean = (float)v->dim[0] / (float)m->desc.codes;
    for (k = 0; k < (size_t)m->desc.codes; k++) {
        const float *from;
        if (count[k] * GENAI__CODE_DEAD >= mean) continue;
        from = v->data + (size_t)((uint64_t)genai__draw(m->ctx->desc.seed, GENAI__STREAM_CODES, (uint64_t)m->steps, 0, (uint32_t)k).w[0] * (uint64_t)v->dim[0] >> 32) * size;
        count[k] = mean;
        memcpy(m->extra[GENAI__CODES]->data + k * size, from, size * sizeof *from);
        for (i = 0; i < size; i++) m->extra[GENAI__CODE_SUMS]->data[k * size + i] = mean * from[i];
    }
}

/* The nearest code of each of v's rows, the first of equals; on the tape. */
static int *genai__codes_nearest(const genai_model *m, genai_tensor *v) {
    const genai_tensor *codes = m->extra[GENAI__CODES];
    int                 n = m->desc.codes, was = genai_recording(m->ctx, 0), r, k, *to = v ? (int *)genai__arena(m->ctx, (size_t)v->dim[0] * sizeof *to) : NULL;
    float              *square = (float *)genai__arena(m->ctx, (size_t)n * sizeof *square);
    genai_tensor       *products = genai_matmul(v, m->extra[GENAI__CODES], 0, 1);
    genai_recording(m->ctx, was);
    if (!to || !square || !products) return NULL;
    for (k = 0; k < n; k++) square[k] = m->ctx->kernels->sum_squares((size_t)m->desc.code_size, codes->data + (size_t)k * (size_t)m->desc.code_size);
    for (r = 0; r < v->dim[0]; r++) {
        const float *p = products->data + (size_t)r * (size_t)n;
        for (to[r] = 0, k = 1; k < n; k++)
            if (square[k] - 2 * p[k] < square[to[r]] - 2 * p[to[r]]) to[r] = k;
    }
    return to;
}

static genai_tensor *genai__codes_of(const genai_model *m, const genai_tensor *like, const int *code) { /* of like's shape, [rows, code_size] */
    size_t        size = (size_t)m->desc.code_size, r;
    genai_tensor *e = genai_tensor_of(m->ctx, 2, like->dim, NULL);
    for (r = 0; e && r < (size_t)like->dim[0]; r++) memcpy(e->data + r * size, m->extra[GENAI__CODES]->data + (size_t)code[r] * size, size * sizeof(float));
    return e;
}

/* Running means of the vectors that each code stands for. Returns the perplexity of the codes: how many are in use, as it were. */
static float genai__codes_learn(genai_model *m, const genai_tensor *v, const int *code) {
    size_t       size = (size_t)m->desc.code_size, n = (size_t)m->desc.codes, rows = (size_t)v->dim[0], k, i;
    float       *count = m->extra[GENAI__CODE_COUNTS]->data, *sum = m->extra[GENAI__CODE_SUMS]->data, *codes = m->extra[GENAI__CODES]->data;
    const float  keep = GENAI__CODE_DECAY, add = 1 - keep;
    float       *used = (float *)genai__arena(m->ctx, n * sizeof *used);
    double       entropy = 0;
    if (!used) return 0;
    memset(used, 0, n * sizeof *used);
    for (i = 0; i < n * size; i++) sum[i] *= keep;
    for (k = 0; k < rows; k++) {
        used[code[k]]++;
        for (i = 0; i < size; i++) sum[(size_t)code[k] * size + i] += add * v->data[k * size + i];
    }
    for (k = 0; k < n; k++) {
        count[k] = keep * count[k] + add * used[k];
        for (i = 0; i < size; i++) codes[k * size + i] = sum[k * size + i] / count[k];
        if (used[k] > 0) entropy -= (double)used[k] / (double)rows * genai__log((double)used[k] / (double)rows);
    }
    return (float)genai__exp(entropy);
}

/* --- the prior --- */
/* What its net sees of a cell of a grid [h,w,code_size] that is known up to there; before: the sum of these. */
static void genai__code_context(const genai_model *m, const float *grid, const float *before, int cell, float *to) {
    int    dim[3], row, column, i, y, x;
    size_t size = (size_t)m->desc.code_size, j;
    genai_net_output(m->net[GENAI__ENCODER], dim);
    row = cell / dim[1];
    column = cell % dim[1];
    for (i = 0; i < GENAI__NEIGHBOURS; i++, to += size) {
        y = row + genai__code_neighbours[i][0];
        x = column + genai__code_neighbours[i][1];
        if (y < 0 || x < 0 || x >= dim[1]) memset(to, 0, size * sizeof *to);
        else memcpy(to, grid + (size_t)(y * dim[1] + x) * size, size * sizeof *to);
    }
    for (j = 0; j < size; j++) to[j] = cell ? before[j] / (float)cell : 0;
    to[size] = 2 * ((float)row + 0.5f) / (float)dim[0] - 1;
    to[size + 1] = 2 * ((float)column + 0.5f) / (float)dim[1] - 1;
}

/* The prior's update on the codes e [rows, code_size] of n images; value: nats an image. */
static genai_result genai__vqvae_learn_prior(genai_model *m, genai_tensor *e, const int *code, int n, float *value) {
    size_t mark = genai_tape_mark(m->ctx), size = (size_t)m->desc.code_size, i, j;
    int    cells = e->dim[0] / n, cell;
    genai_tensor *context = genai__matrix_of(m->ctx, e->dim[0], genai__vqvae_takes(m, GENAI__PRIOR), NULL);
    genai_tensor *before = genai__matrix_of(m->ctx, n, (int)size, NULL);
    if (!context || !before) return genai__result_of(m->ctx);
    for (i = 0; i < (size_t)n; i++)
        for (cell = 0; cell < cells; cell++) {
            size_t r = i * (size_t)cells + (size_t)cell;
            genai__code_context(m, e->data + i * (size_t)cells * size, before->data + i * size, cell, context->data + r * (size_t)context->dim[1]);
            for (j = 0; j < size; j++) before->data[i * size + j] += e->data[r * size + j];
        }
    genai_tensor *loss = genai_scale(genai_cross_entropy_loss(genai__forward(m, m->net[GENAI__PRIOR], context, GENAI_TRAIN), code), (float)cells, 0);
    *value = genai_value(loss);
    return genai__learn(m, GENAI__PRIOR, loss, mark);
}

/* Grids of codes, drawn cell after cell; grid i depends on (seed, first + i) alone. */
static genai_result genai__vqvae_latents(genai_model *m, uint64_t seed, size_t first, int n, float *z) {
    size_t        size = (size_t)m->desc.code_size, latent = (size_t)m->desc.latent, cells = latent / size, i, j;
    genai__quiet  q = genai__quiet_begin(m->ctx);
    uint64_t      mode = genai__fp_enter();
    float        *u = (float *)genai__arena(m->ctx, (size_t)n * cells * sizeof *u), *before = (float *)genai__arena(m->ctx, (size_t)n * size * sizeof *u);
    int           takes = genai__vqvae_takes(m, GENAI__PRIOR), cell, k;
    genai_tensor *context = u && before ? genai__matrix_of(m->ctx, n, takes, NULL) : NULL, *p = NULL;
    for (i = 0; i < (size_t)n && context; i++) genai__uniform(m->ctx, 0, GENAI__STREAM_SAMPLE, seed, (uint32_t)(first + i), cells, u + i * cells);
    if (context) memset(before, 0, (size_t)n * size * sizeof *before);
    for (cell = 0; cell < (int)cells && context; cell++) {
        size_t mark = genai_tape_mark(m->ctx);
        for (i = 0; i < (size_t)n; i++) genai__code_context(m, z + i * latent, before + i * size, cell, context->data + i * (size_t)takes);
        p = genai_softmax(genai__forward(m, genai__best(m, GENAI__PRIOR), context, GENAI_EVAL));
        if (!p) break;
        for (i = 0; i < (size_t)n; i++) {
            const float *row = p->data + i * (size_t)m->desc.codes, *e;
            float        at = u[i * cells + (size_t)cell];
            for (k = 0; k + 1 < m->desc.codes && at >= row[k]; k++) at -= row[k];
            e = m->extra[GENAI__CODES]->data + (size_t)k * size;
            memcpy(z + i * latent + (size_t)cell * size, e, size * sizeof *e);
            for (j = 0; j < size; j++) before[i * size + j] += e[j];
        }
        genai_tape_release(m->ctx, mark);
    }
    genai__fp_leave(mode);
    genai__quiet_end(m->ctx, q);
    return p ? GENAI_OK : genai__result_of(m->ctx);
}

/* --- step --- */
static genai_tensor *genai__vqvae_vectors(genai_model *m, genai_net *encoder, genai_tensor *x, genai_mode mode) { /* [rows, code_size] */
    return genai__matrix(genai__forward(m, encoder, x, mode), -1, m->desc.code_size);
}

static genai_result genai__vqvae_step(genai_model *m, genai_tensor *x, float *value) {
    genai_tensor *v = genai__vqvae_vectors(m, m->net[GENAI__ENCODER], x, GENAI_TRAIN), *e, *loss, *commitment;
    if (!v) return genai__result_of(m->ctx);
    genai__codes_revive(m, v);
    int *code = genai__codes_nearest(m, v);
    e = code ? genai__codes_of(m, v, code) : NULL;
    if (!e) return genai__result_of(m->ctx);
    value[3] = genai__codes_learn(m, v, code);
    GENAI__TRY(genai__vqvae_learn_prior(m, e, code, x->dim[0], &value[2]));
    commitment = genai_mse_loss(genai__matrix(v, x->dim[0], -1), genai__matrix(e, x->dim[0], -1));
    e = genai_add(e, genai_sub(v, genai_detach(v))); /* e, with v's gradient */
    loss = genai__reconstruction(m, genai__forward(m, m->net[GENAI__DECODER], genai__matrix(e, x->dim[0], -1), GENAI_TRAIN), x);
    value[0] = genai_value(loss);
    value[1] = genai_value(commitment);
    return genai__learn(m, GENAI__ENCODER, genai_add(loss, genai_scale(commitment, genai__beta(m), 0)), m->mark);
}

/* --- encode: the codes --- */
static genai_tensor *genai__codes_snap(genai_model *m, genai_tensor *v) { /* [n,Z], of vectors in any shape */
    v = genai__matrix(v, -1, m->desc.code_size);
    int *code = genai__codes_nearest(m, v);
    return code ? genai__matrix(genai__codes_of(m, v, code), -1, m->desc.latent) : NULL;
}
static genai_tensor *genai__vqvae_encode(genai_model *m, genai_tensor *x) { return genai__codes_snap(m, genai__vqvae_vectors(m, genai__best(m, GENAI__ENCODER), x, GENAI_EVAL)); }

/* --- evaluate: the reconstruction --- */
static genai_result genai__vqvae_evaluate(genai_model *m, genai_tensor *x, size_t first, double *sum) {
    genai_tensor *loss = genai__reconstruction(m, genai__forward(m, genai__best(m, GENAI__DECODER), genai__vqvae_encode(m, x), GENAI_EVAL), x);
    (void)first;
    *sum += (double)genai_value(loss) * x->dim[0];
    return loss ? GENAI_OK : genai__result_of(m->ctx);
}

static const genai__family genai__vqvae = {
    "vqvae", {"reconstruction", "commitment", "prior", "perplexity", NULL},
    GENAI__ROLE(ENCODER) | GENAI__ROLE(DECODER) | GENAI__ROLE(PRIOR), GENAI__ROLE(ENCODER) | GENAI__ROLE(DECODER) | GENAI__ROLE(PRIOR),
    GENAI__DECODER, genai__vqvae_text, genai__vqvae_create, genai__vqvae_step, genai__vqvae_encode, genai__vae_measure, genai__vqvae_evaluate, genai__vqvae_takes,
    genai__vqvae_latents, 0,
};

/* ====================================================================================================================
 * >>translate (private)
 * Images into images. Family translate learns from aligned pairs (Isola et al. 2017): a generator whose skips carry the source
 * (Ronneberger et al. 2015), a discriminator that sees the source beside the target, and the mean absolute error. Family
 * cycle learns from two sets without pairs (Zhu et al. 2017): two generators, there and back, a discriminator for each end,
 * and the mean absolute error of an image that has gone both ways. x is [2n,H,W,C]: n sources, then n targets.
 * ================================================================================================================= */

/* --- text --- */
/* Down to 7 or less and up again, each level beside what it was on the way down. */
static void genai__text_skips(const genai_model *m, genai__text *t, int width) {
    int levels = genai__levels(m), level;
    genai__text_format(t, "conv %d k3 | lrelu 0.2 | ", width);
    for (level = 1; level <= levels; level++)
        genai__text_format(t, "keep l%d | conv %d k4 s2 | batchnorm | lrelu 0.2 | ", level - 1, genai__channels(level + 1, width, 8 * width));
    for (level = levels; level > 0; level--) {
        int h = genai__halved(m->dim[1], level - 1), w = genai__halved(m->dim[2], level - 1);
        genai__text_format(t, "convt %d k4 s2 | batchnorm | relu | ", genai__channels(level, width, 8 * width));
        if (h != 2 * genai__halved(m->dim[1], level) || w != 2 * genai__halved(m->dim[2], level)) genai__text_format(t, "crop %dx%d | ", h, w);
        genai__text_format(t, "concat l%d | ", level - 1);
    }
    genai__text_format(t, "conv %d k3 | tanh", m->dim[3]);
}
static void genai__translate_text(const genai_model *m, int role, genai__text *t) {
    if (role == GENAI__GENERATOR || role == GENAI__GENERATOR_BACK) genai__text_skips(m, t, 32);
    else genai__text_critic(m, t, 32);
}

/* --- create --- */
static genai_result genai__translate_create(genai_model *m) {
    genai_result result = GENAI_OK;
    for (int back = 0; back < m->family->backs && !result; back++) {
        m->critic = back ? GENAI__DISCRIMINATOR_BACK : GENAI__DISCRIMINATOR;
        result = genai__find_loss(m);
        if (!result) result = genai__model_optimizer(m, m->desc.lr, back ? GENAI__GENERATOR_BACK : GENAI__GENERATOR, -1);
        if (!result) result = genai__model_optimizer(m, m->desc.lr_discriminator, m->critic, -1);
    }
    m->critic = GENAI__DISCRIMINATOR;
    return result;
}

/* --- step --- */
static genai_tensor *genai__translated(const genai_model *m, int role, genai_tensor *x, genai_mode mode) {
    return genai__images(m, genai__forward(m, m->net[role], x, mode));
}
static genai_tensor *genai__mean_error(const genai_model *m, genai_tensor *y, genai_tensor *x) { /* in [0,1] pixels */
    return genai_scale(genai_mean(genai_abs(genai_sub(y, x)), 0), m->signed_range ? 0.5f : 1.0f, 0);
}

static genai_result genai__translate_step(genai_model *m, genai_tensor *x, float *value) {
    int           n = x->dim[0] / 2;
    float         gamma = m->desc.gamma < 0 ? 0 : m->desc.gamma;
    genai_tensor *from = genai_slice(x, 0, 0, n), *to = genai_slice(x, 0, n, n), *made, *beside, *loss, *error;
    made = genai__translated(m, GENAI__GENERATOR, from, GENAI_TRAIN);
    beside = genai_concat(from, made, 3);
    GENAI__TRY(genai__learn_discriminator(m, genai_concat(from, to, 3), beside, NULL, &value[0]));
    genai_net_trainable(m->net[GENAI__DISCRIMINATOR], 0);
    loss = m->loss->generator(genai__forward(m, m->net[GENAI__DISCRIMINATOR], beside, GENAI_TRAIN_FROZEN));
    error = genai__mean_error(m, made, to);
    value[1] = genai_value(loss);
    value[2] = genai_value(error);
    genai_result result = genai__learn(m, GENAI__GENERATOR, genai_add(loss, genai_scale(error, gamma, 0)), m->mark);
    genai_net_trainable(m->net[GENAI__DISCRIMINATOR], 1);
    return result;
}

static genai_result genai__cycle_step(genai_model *m, genai_tensor *x, float *value) {
    static const int painter[2] = {GENAI__GENERATOR, GENAI__GENERATOR_BACK}, critic[2] = {GENAI__DISCRIMINATOR, GENAI__DISCRIMINATOR_BACK};
    int              n = x->dim[0] / 2, way;
    genai_tensor    *end[2], *made[2], *loss[2], *error[2], *whole = NULL;
    genai_result     result = GENAI_OK;
    for (way = 0; way < 2; way++) { /* way 0 begins at end 0 and makes images for end 1 */
        end[way] = genai_slice(x, 0, way * n, n);
        made[way] = genai__translated(m, painter[way], end[way], GENAI_TRAIN);
    }
    for (way = 0; way < 2 && !result; way++) {
        float judged = 0;
        m->critic = critic[way];
        result = genai__learn_discriminator(m, end[1 - way], made[way], NULL, &judged);
        value[0] += judged;
        genai_net_trainable(m->net[critic[way]], 0);
    }
    m->critic = GENAI__DISCRIMINATOR;
    for (way = 0; way < 2 && !result; way++) {
        loss[way] = m->loss->generator(genai__forward(m, m->net[critic[way]], made[way], GENAI_TRAIN_FROZEN));
        error[way] = genai__mean_error(m, genai__translated(m, painter[1 - way], made[way], GENAI_TRAIN_FROZEN), end[way]);
        value[1] += genai_value(loss[way]);
        value[2] += genai_value(error[way]);
        loss[way] = genai_add(loss[way], genai_scale(error[way], m->desc.gamma < 0 ? 0 : m->desc.gamma, 0));
        if (m->desc.identity > 0) {
            error[way] = genai__mean_error(m, genai__translated(m, painter[way], end[1 - way], GENAI_TRAIN_FROZEN), end[1 - way]);
            loss[way] = genai_add(loss[way], genai_scale(error[way], m->desc.identity, 0));
        }
        whole = way ? genai_add(whole, loss[way]) : loss[way];
    }
    for (way = 0; way < 2 && !result; way++) genai__learn_begin(m, painter[way]);
    if (!result) result = genai__learn_from(m, GENAI__GENERATOR, whole, m->mark);
    for (way = 0; way < 2 && !result; way++) result = genai__learn_end(m, painter[way]);
    for (way = 0; way < 2; way++) genai_net_trainable(m->net[critic[way]], 1);
    return result;
}

/* --- evaluate --- */
static const char *genai__translate_measure(const genai_model *m) {
    return m->family->backs == 1 ? "test mean absolute error" : "test mean absolute error there and back";
}
static genai_result genai__translate_evaluate(genai_model *m, genai_tensor *x, size_t first, double *sum) {
    int           n = x->dim[0] / 2;
    genai_tensor *from = genai_slice(x, 0, 0, n), *y;
    (void)first;
    y = genai__images(m, genai__forward(m, genai__best(m, GENAI__GENERATOR), from, GENAI_EVAL));
    if (m->family->backs == 2) y = genai__images(m, genai__forward(m, genai__best(m, GENAI__GENERATOR_BACK), y, GENAI_EVAL));
    y = genai__mean_error(m, y, m->family->backs == 2 ? from : genai_slice(x, 0, n, n));
    if (!y) return genai__result_of(m->ctx);
    *sum += (double)genai_value(y) * n;
    return GENAI_OK;
}

static const genai__family genai__translate = {
    "translate", {"discriminator", "generator", "error", NULL, NULL}, GENAI__ROLE(GENERATOR) | GENAI__ROLE(DISCRIMINATOR), GENAI__ROLE(GENERATOR),
    GENAI__GENERATOR, genai__translate_text, genai__translate_create, genai__translate_step, NULL, genai__translate_measure, genai__translate_evaluate, NULL, NULL, 1,
};
static const genai__family genai__cycle = {
    "cycle", {"discriminator", "generator", "error", NULL, NULL},
    GENAI__ROLE(GENERATOR) | GENAI__ROLE(DISCRIMINATOR) | GENAI__ROLE(GENERATOR_BACK) | GENAI__ROLE(DISCRIMINATOR_BACK), GENAI__ROLE(GENERATOR) | GENAI__ROLE(GENERATOR_BACK),
    GENAI__GENERATOR, genai__translate_text, genai__translate_create, genai__cycle_step, NULL, genai__translate_measure, genai__translate_evaluate, NULL, NULL, 2,
};

/* ====================================================================================================================
 * >>rbm (private)
 * Restricted Boltzmann machines (Smolensky 1986, Hinton 2002): p(v,h) = exp(-E) / Z over visible units v and hidden ones h in {0,1},
 *   E = -b'v - c'h - v'W h                            Bernoulli visible units, in {0,1}
 *   E = |v - b|^2 / (2 s^2) - c'h - v'W h / s^2       Gaussian ones with the deviation s, `sigma` (Cho et al. 2011)
 * so p(h|v) is sigmoid(c + W'v), with / s^2 where they are Gaussian, and v given h has logits, or means, b + W h. The decoder's
 * dense layer holds W' and b, the encoder's W, or W / s^2, and c: the decoder learns, the encoder follows. Here is what one
 * does, as a layer of a stack (>>dbn); family rbm is a stack of one.
 * ================================================================================================================= */
#define GENAI__STACK_MOST 8
#define GENAI__OFFSET_KEEP 0.99f /* of the running means of units (Melchior et al. 2016, section 3) */

typedef struct genai__rbm { /* layer l of a stack: units and parameters */
    genai_model *m;
    int          v, h, up, down;                  /* numbers of its layers in encoder and decoder             */
    genai_tensor *up_weight, *down_weight, *b, *c; /* [v,h], [h,v], [v], [h]                                  */
    float        square, *mean;                   /* s^2, 0: Bernoulli; running means of v, then of h         */
    int          behind;                          /* 1: up_weight has yet to follow down_weight, see genai__stack_follow */
    int          once;                            /* 1: rbm_down is called once before weights change: no use in packing them */
} genai__rbm;

/* Random numbers: the step's, or if `fixed` each row's own, number first and up, of a seed. */
typedef struct genai__dice {
    genai_ctx *ctx;
    int        fixed;
    uint32_t   stream;
    uint64_t   seed, roll;
    size_t     first;
} genai__dice;

typedef struct genai__dice_job { genai__random r; size_t columns; } genai__dice_job;
static void genai__dice_row(void *arg, size_t row) {
    genai__dice_job job = *(const genai__dice_job *)arg;
    job.r.draw += (uint32_t)row;
    job.r.out += row * job.columns;
    genai__random_chunk(&job.r, 0, job.columns);
}
static genai_tensor *genai__dice_roll(genai__dice *d, int normal, int rows, int columns) {
    int dim[2] = {rows, columns};
    if (!d->fixed) return normal ? genai_random_normal(d->ctx, 2, dim) : genai_random_uniform(d->ctx, 2, dim);
    genai_tensor *t = genai__temporary(d->ctx, 2, dim, NULL);
    if (!t) return NULL;
    genai__dice_job job = {{d->ctx, d->stream, (uint32_t)d->first, d->roll++, d->seed, t->data, normal}, (size_t)columns};
    genai__for_rows(d->ctx, (size_t)rows, (size_t)columns, genai__dice_row, &job);
    return t;
}

static int        genai__stack_count(const genai_model *m) { return m->net[GENAI__ENCODER]->layers / 2; }
static genai__rbm genai__rbm_of(genai_model *m, int l) {
    genai__rbm          r = GENAI__ZEROED;
    const genai__layer *up = m->net[GENAI__ENCODER]->layer, *down = m->net[GENAI__DECODER]->layer;
    r.m = m;
    r.mean = m->extra[GENAI__UNITS]->data;
    for (int i = 0; i < l; i++) r.mean += up[2 * i].parameter[0]->dim[0];
    r.up = 2 * l;
    r.down = 2 * (genai__stack_count(m) - 1 - l);
    r.up_weight = up[r.up].parameter[0];
    r.c = up[r.up].parameter[1];
    r.down_weight = down[r.down].parameter[0];
    r.b = down[r.down].parameter[1];
    r.v = r.up_weight->dim[0];
    r.h = r.up_weight->dim[1];
    r.square = l || m->likelihood->logits ? 0 : m->desc.sigma * m->desc.sigma;
    r.behind = m->behind == l + 1;
    return r;
}

/* --- units: what they are given the other side, and drawn from that. Packed weights serve all draws of a step. --- */
static genai_tensor *genai__rbm_dense(genai_net *net, int layer, genai_tensor *x, const genai_tensor *w, int transposed, genai_tensor *bias, int kept) {
    if (!x || genai__net_prepare(net)) return NULL;
    genai_tensor weight = *w, t = genai__proto(x, &weight, bias, NULL);
    weight.kept = kept ? &net->ready[layer].kept : NULL;
    t.i[1] = transposed;
    return genai__apply(&genai__op_dense, &t);
}
static genai_tensor *genai__rbm_up(const genai__rbm *r, genai_tensor *v) { /* logits */
    return genai__rbm_dense(r->m->net[GENAI__ENCODER], r->up, v, r->behind ? r->down_weight : r->up_weight, r->behind, r->c, 1);
}
static genai_tensor *genai__rbm_down(const genai__rbm *r, genai_tensor *h) { /* or means */
    return genai__rbm_dense(r->m->net[GENAI__DECODER], r->down, h, r->down_weight, 0, r->b, !r->once);
}
static genai_tensor *genai__drawn(genai_tensor *p, genai__dice *d) {
    return p ? genai__greater(p, genai__dice_roll(d, 0, p->dim[0], p->dim[1])) : NULL;
}
static genai_tensor *genai__rbm_hidden(const genai__rbm *r, genai_tensor *v, genai__dice *d) { return genai__drawn(genai_sigmoid(genai__rbm_up(r, v)), d); }
static genai_tensor *genai__rbm_drawn(const genai__rbm *r, genai_tensor *y, genai__dice *d) { /* from what rbm_down gave */
    if (!y || !(r->square > 0)) return genai__drawn(genai_sigmoid(y), d);
    return genai_add(y, genai_scale(genai__dice_roll(d, 1, y->dim[0], y->dim[1]), sqrtf(r->square), 0));
}

/* F(v) = -log sum over h of exp(-E), [n,1]; a: what rbm_up gave of v. The softplus overflows nowhere. */
static genai_tensor *genai__rbm_free_energy(const genai__rbm *r, genai_tensor *v, genai_tensor *a) {
    genai_tensor *e = r->square > 0 ? genai_scale(genai_sum(genai_square(genai_sub(v, r->b)), 2), 0.5f / r->square, 0)
                                    : genai_neg(genai_matmul(v, genai__matrix(r->b, r->v, 1), 0, 0));
    return genai_sub(e, genai_sum(genai_softplus(a), 2));
}

/* --- learning --- */
static void genai__rbm_tie_columns(void *arg, size_t block) { /* 16 hidden units of the encoder's weights from the decoder's */
    const genai__rbm *r = (const genai__rbm *)arg;
    size_t            v = (size_t)r->v, h = (size_t)r->h, j = block * 16, width = genai__smaller(16, h - j), i, k, l, count;
    float             scale = r->square > 0 ? 1 / r->square : 1, buffer[16 * 128];
    const float      *from = r->down_weight->data + j * v;
    for (i = 0; i < v; i += count) {
        count = genai__smaller(128, v - i);
        if (width == 16) r->m->ctx->kernels->transpose(count, from + i, v, buffer);
        for (k = 0; k < count; k++)
            for (l = 0; l < width; l++) r->up_weight->data[(i + k) * h + j + l] = (width == 16 ? buffer[k * 16 + l] : from[l * v + i + k]) * scale;
    }
}
static void genai__rbm_tie(genai__rbm *r) {
    r->m->ctx->changes++;
    genai__for_rows(r->m->ctx, ((size_t)r->h + 15) / 16, 16 * (size_t)r->v, genai__rbm_tie_columns, r);
}

/* Copying so much in each step would take longer than its draws: it is done when the encoder is asked for. Needs no scale then. */
static void genai__stack_follow(genai_model *m) {
    if (!m->behind) return;
    genai__rbm r = genai__rbm_of(m, m->behind - 1);
    m->behind = 0;
    genai__rbm_tie(&r);
}

/* Visible units begin where they alone fit the data best: their means give the biases. */
static void genai__rbm_start(genai__rbm *r) {
    for (int i = 0; i < r->v; i++) {
        double p = 0.0005 + 0.999 * (double)r->mean[i];
        r->b->data[i] = r->square > 0 ? r->mean[i] : (float)genai__log(p / (1 - p));
    }
    r->m->ctx->changes++;
}
static genai_result genai__rbm_begin(genai_model *m, genai_dataset *data) { /* 10000 images tell enough of them */
    genai__rbm   r = genai__rbm_of(m, 0);
    size_t       d = (size_t)r.v, count = genai__smaller(genai_dataset_describe(data).count, 10000), i, k;
    float       *x = (float *)genai__alloc(m->ctx, d, sizeof *x);
    genai_result result = x ? GENAI_OK : GENAI_ERROR_MEMORY;
    for (i = 0; i < count && !result; i++) {
        result = genai_dataset_batch(data, 0, i, 1, x, NULL);
        for (k = 0; k < d; k++) r.mean[k] += (x[k] - r.mean[k]) / (float)(i + 1);
    }
    if (!result) genai__rbm_start(&r);
    genai__free(m->ctx, x);
    return result;
}

static void genai__running_mean(const genai_tensor *x, float *mean) { /* of x's columns; the arena's room is the step's */
    float *sum = (float *)genai__arena(x->ctx, (size_t)x->dim[1] * sizeof *sum), n = (float)x->dim[0];
    if (!sum) return;
    x->ctx->kernels->column_sums((size_t)x->dim[0], (size_t)x->dim[1], x->data, sum);
    for (int i = 0; i < x->dim[1]; i++) mean[i] = GENAI__OFFSET_KEEP * mean[i] + (1 - GENAI__OFFSET_KEEP) * (sum[i] / n);
}

/* Rows of x, then of y, less the offset, times their factor. */
static genai_tensor *genai__rbm_about(const genai_tensor *offset, const genai_tensor *x, float x_factor, const genai_tensor *y, float y_factor) {
    if (!offset || !x || !y) return NULL;
    int           n = x->dim[0], width = x->dim[1], dim[2] = {n + y->dim[0], width}, i, k;
    genai_tensor *to = genai__temporary(x->ctx, 2, dim, NULL), *affine = genai__matrix_of(x->ctx, 4, width, NULL);
    for (i = 0; affine && i < 4 * width; i++) {
        float factor = i < 2 * width ? x_factor : y_factor;
        affine->data[i] = i / width % 2 ? -factor * offset->data[i % width] : factor;
    }
    for (k = 0; to && affine && k < 2; k++)
        x->ctx->kernels->column_affine((size_t)(k ? y : x)->dim[0], (size_t)width, (k ? y : x)->data, affine->data + 2 * k * width, affine->data + (2 * k + 1) * width,
                                       to->data + (size_t)(k * n) * (size_t)width);
    return affine ? to : NULL;
}

/* The gradient of weights [a's columns, b's] is a' b; both have a row for each image or chain. */
static genai_result genai__rbm_products(const genai_tensor *a, const genai_tensor *b, genai_tensor *weight) {
    if (!a || !b) return GENAI_ERROR_MEMORY;
    genai__gemm g = genai__product((size_t)a->dim[1], (size_t)b->dim[1], (size_t)a->dim[0]);
    g.a = a->data;
    g.a_row = 1;
    g.a_col = (size_t)a->dim[1];
    g.b = b->data;
    g.c = weight->grad->data;
    return genai__gemm_run(a->ctx, &g);
}

/* Gradients of -log p(x) from v [n,v]: data minus model, where for the model stand chains that began at the data and took cd_steps steps
 * (contrastive divergence, Hinton 2002), or that go on from step to step (Tieleman 2008). Hidden units enter by their
 * probabilities, but are drawn where visible ones follow from them. With offsets m of v and l of h, running means (Melchior et al. 2016, eq. 29-31,
 * the centred gradient of an RBM without offsets in its energy), / s^2 in dc where units are Gaussian:
 *   dW = <(v-m)(h-l)'>data - <(v-m)(h-l)'>model,  db = <v>data - <v>model - dW l,  dc = <h>data - <h>model - dW'm
 * fresh: the layer's first step. *made: the chains' visible units. */
static genai_result genai__rbm_gradients(genai__rbm *r, genai_tensor *x, int fresh, float *value, genai_tensor **made) {
    genai_model            *m = r->m;
    const genai_model_desc *d = &m->desc;
    genai_ctx              *ctx = m->ctx;
    genai__dice             dice = {ctx, 0, 0, 0, 0, 0};
    int                     n = x->dim[0], chains = d->persistent ? d->persistent : n, i;
    genai_tensor           *chain = m->extra[GENAI__CHAINS], *a = genai__rbm_up(r, x), *p = genai_sigmoid(a), *v, *t, *q, *offset[2];
    genai_tensor           *h = chain && !fresh ? p : genai__drawn(p, &dice);
    if (!h) return genai__result_of(ctx);
    genai__running_mean(x, r->mean);
    genai__running_mean(p, r->mean + r->v);
    if (chain) {
        for (i = 0; i < chains && fresh; i++) memcpy(chain->data + i * r->h, h->data + (i % n) * r->h, (size_t)r->h * sizeof(float));
        h = genai__matrix_of(ctx, chains, r->h, chain->data);
    }
    for (i = 1; i < d->cd_steps && h; i++) {
        size_t mark = genai_tape_mark(ctx);
        v = genai__rbm_drawn(r, genai__rbm_down(r, h), &dice);
        t = genai__rbm_hidden(r, v, &dice);
        if (!t) return genai__result_of(ctx);
        memcpy(h->data, t->data, h->count * sizeof(float));
        genai_tape_release(ctx, mark);
    }
    *made = v = genai__rbm_drawn(r, genai__rbm_down(r, h), &dice);
    t = genai__rbm_up(r, v);
    q = genai_sigmoid(t);
    value[0] = genai_value(genai_mean(genai__rbm_free_energy(r, x, a), 0));
    value[1] = value[0] - genai_value(genai_mean(genai__rbm_free_energy(r, v, t), 0));
    if (chain && (h = genai__drawn(q, &dice)) != NULL) memcpy(chain->data, h->data, h->count * sizeof(float));
    for (i = 0; i < 2; i++) offset[i] = genai__matrix_of(ctx, 1, i ? r->h : r->v, d->centred ? r->mean + i * r->v : NULL);
    x = genai__rbm_about(offset[0], x, 1, v, 1);
    h = genai__rbm_about(offset[1], p, -1 / (float)n, q, 1 / (float)chains);
    t = genai__matrix_of(ctx, n + chains, 1, NULL);
    for (i = 0; t && i < n + chains; i++) t->data[i] = i < n ? -1 / (float)n : 1 / (float)chains;
    a = genai_sub(t, genai_matmul(h, offset[1], 0, 1));
    v = genai_matmul(a, x, 1, 0);
    a = genai_scale(genai_matmul(x, offset[0], 0, 1), r->square > 0 ? -1 / r->square : -1, 1);
    t = genai_matmul(a, h, 1, 0);
    if (!v || !t) return genai__result_of(ctx);
    memcpy(r->b->grad->data, v->data, v->count * sizeof(float));
    for (i = 0; i < r->h; i++) /* Lee et al. 2008: towards units that are on in a share `sparsity` of the images */
        r->c->grad->data[i] = t->data[i] + (d->sparsity > 0 ? d->sparsity_cost * (r->mean[r->v + i] - d->sparsity) : 0);
    return genai__rbm_products(h, x, r->down_weight);
}

/* --- log Z --- */
static double genai__softplus(double x) { return (x > 0 ? x : 0) + genai__log(1 + genai__exp(x > 0 ? -x : x)); }
static double genai__rbm_base(const genai__rbm *r) { /* log of the Gaussians' normalisation */
    return r->square > 0 ? 0.5 * r->v * genai__log(6.283185307179586 * (double)r->square) : 0;
}

/* All states of the smaller side, the other one summed over. */
static genai_result genai__rbm_enumerate(genai__rbm *r, int hidden, double *log_z) {
    genai_ctx *ctx = r->m->ctx;
    int        units = hidden ? r->h : r->v, at, n;
    *log_z = -1e300;
    for (at = 0; at < 1 << units; at += n) {
        size_t mark = genai_tape_mark(ctx);
        n = 1 << units < 256 ? 1 << units : 256;
        genai_tensor *x = genai__matrix_of(ctx, n, units, NULL), *y;
        for (int i = 0; x && i < n * units; i++) x->data[i] = (float)((at + i / units) >> i % units & 1);
        if (!hidden) y = genai_neg(genai__rbm_free_energy(r, x, genai__rbm_up(r, x)));
        else {
            y = genai__rbm_down(r, x);
            y = genai_sum(r->square > 0 ? genai_scale(genai_sub(genai_square(y), genai_square(r->b)), 0.5f / r->square, 0) : genai_softplus(y), 2);
            y = genai_add(y, genai_matmul(x, genai__matrix(r->c, r->h, 1), 0, 0));
        }
        if (!y) return genai__result_of(ctx);
        for (int i = 0; i < n; i++) *log_z = (double)y->data[i] + genai__softplus(*log_z - (double)y->data[i]);
        genai_tape_release(ctx, mark);
    }
    *log_z += genai__rbm_base(r);
    return GENAI_OK;
}

/* Temperature i of n: half of the way in the first 1/29 of the steps, nine tenths after 8/29 more (Salakhutdinov and Murray 2008, with n = 14500). */
static float genai__ais_beta(int i, int n) {
    int a = n / 29, b = 9 * a;
    return i >= n ? 1 : i < a ? 0.5f * (float)i / (float)a : i < b ? 0.5f + 0.4f * (float)(i - a) / (float)(b - a) : 0.9f + 0.1f * (float)(i - b) / (float)(n - b);
}

/* One way between the base, whose visible units a [1,v] are the data's alone, and the RBM, along
 *   log p*(v) = (1-beta) a'v + beta b'v + sum softplus(beta (c + W'v))       (Gaussian: the means (1-beta) a + beta b)
 * The weight is taken before the transition that leaves the new temperature's distribution as it is. From the RBM the chains
 * begin where `burn` sweeps have led them. z: log Z by the mean of all runs' weights, and 3 standard errors below and above. */
static genai_result genai__rbm_ais(genai__rbm *r, const genai_partition_desc *d, genai_tensor *a, double base, int back, double *z) {
    genai_ctx    *ctx = r->m->ctx;
    genai__dice   dice = {ctx, 1, GENAI__STREAM_AIS, d->seed, (uint64_t)back << 32, 0};
    genai_tensor *v = genai__matrix_of(ctx, d->runs, r->v, NULL), *gap = genai__matrix(genai_sub(genai__matrix(r->b, 1, r->v), a), r->v, 1), *x, *h, *y;
    double       *weight = (double *)genai__arena(ctx, (size_t)d->runs * sizeof *weight), shift = 0;
    if (!v || !gap || !weight) return genai__result_of(ctx);
    for (int i = 0; i < r->v && r->square > 0; i++)
        shift += 0.5 * ((double)a->data[i] * (double)a->data[i] - (double)r->b->data[i] * (double)r->b->data[i]) / (double)r->square;
    memset(weight, 0, (size_t)d->runs * sizeof *weight);
    for (int first = back ? -d->burn : 0, step = first; step <= d->steps; step++) { /* the first draws from the base, the last nothing */
        size_t mark = genai_tape_mark(ctx);
        int    at = back ? d->steps - step : step;
        float  to = step > first ? genai__ais_beta(at, d->steps) : 0, from = genai__ais_beta(back ? at + 1 : at - 1, d->steps);
        h = genai__rbm_up(r, v);
        if (step > 0) {
            x = genai_sum(genai_sub(genai_softplus(genai_scale(h, to, 0)), genai_softplus(genai_scale(h, from, 0))), 2);
            y = genai_matmul(v, gap, 0, 0);
            if (!x || !y) return genai__result_of(ctx);
            for (int i = 0; i < d->runs; i++)
                weight[i] += (double)x->data[i] + ((double)to - (double)from) * (r->square > 0 ? (double)y->data[i] / (double)r->square + shift : (double)y->data[i]);
        }
        if (step < d->steps) {
            h = genai__drawn(genai_sigmoid(genai_scale(h, to, 0)), &dice);
            y = genai_add(genai_scale(genai__rbm_down(r, h), to, 0), genai_scale(a, 1 - to, 0));
            y = genai__rbm_drawn(r, y, &dice);
            if (!y) return genai__result_of(ctx);
            memcpy(v->data, y->data, v->count * sizeof(float));
        }
        genai_tape_release(ctx, mark);
    }
    double most = weight[0], mean = 0, squares = 0, error, sign = back ? -1 : 1;
    for (int i = 1; i < d->runs; i++) most = weight[i] > most ? weight[i] : most;
    for (int i = 0; i < d->runs; i++) mean += genai__exp(weight[i] - most) / d->runs;
    for (int i = 0; i < d->runs; i++) squares += (genai__exp(weight[i] - most) - mean) * (genai__exp(weight[i] - most) - mean);
    error = 3 * sqrt(squares / d->runs / (d->runs - 1));
    z[0] = base + sign * (most + genai__log(mean));
    z[1 + back] = base + sign * (mean > error ? most + genai__log(mean - error) : -1e300);
    z[2 - back] = base + sign * (most + genai__log(mean + error));
    return GENAI_OK;
}

static genai_result genai__partition(genai_model *m, const genai_partition_desc *d, genai_partition *out) {
    genai__rbm    r = genai__rbm_of(m, genai__stack_count(m) - 1);
    int           hidden = r.square > 0 || r.h <= r.v;
    genai_tensor *a = genai__matrix_of(m->ctx, 1, r.v, r.mean);
    double        base = r.h * GENAI__LOG_2 + genai__rbm_base(&r);
    if (!a) return genai__result_of(m->ctx);
    out->exact = (hidden ? r.h : r.v) <= 20 && !d->estimate;
    for (int i = 0; i < r.v && !(r.square > 0); i++) { /* never quite 0 or 1 */
        double p = 0.002 + 0.996 * (double)a->data[i];
        a->data[i] = (float)genai__log(p / (1 - p));
        base += genai__softplus((double)a->data[i]);
    }
    for (int back = 0; back < 2; back++) {
        double z[3];
        GENAI__TRY(out->exact ? genai__rbm_enumerate(&r, hidden, z) : genai__rbm_ais(&r, d, a, base, back, z));
        if (out->exact) z[1] = z[2] = z[0];
        *(back ? &out->reverse : &out->log_z) = z[0];
        *(back ? &out->reverse_low : &out->low) = z[1];
        *(back ? &out->reverse_high : &out->high) = z[2];
    }
    return GENAI_OK;
}

/* ====================================================================================================================
 * >>dbn (private)
 * Deep belief nets (Hinton, Osindero and Teh 2006): a stack of RBMs. The lowest learns from images, each further one from what
 * is drawn of the hidden units below it, for layer_steps steps. Where there is room it begins as the one below upside down, so that
 * the bound on log p(x) goes on from where it stood. When the last has had its steps, all learn by the up-down algorithm: what
 * is drawn on the way up teaches the generative weights (the decoder's), what the top RBM's chains make on the way down the
 * recognition weights (the encoder's); only the top's stay tied.
 * ================================================================================================================= */
static void genai__stack_text(const genai_model *m, int role, genai__text *t) {
    const char *p = m->desc.layers ? m->desc.layers : "", *end = p + strlen(p), *words = p;
    if (role == GENAI__ENCODER)
        for (; *(p += strspn(p, " ")); p += strcspn(p, " ")) genai__text_format(t, "dense %.*s | sigmoid | ", (int)strcspn(p, " "), p);
    else
        for (; end > words; end -= end > words) { /* from the last word on; end is behind it */
            for (p = end; p > words && p[-1] != ' '; p--) {}
            if (p < end) genai__text_format(t, "dense %.*s | sigmoid | ", (int)(end - p), p);
            end = p;
        }
    genai__text_format(t, role == GENAI__ENCODER ? "dense %d | sigmoid" : "dense %d", role == GENAI__ENCODER ? m->desc.latent : m->dim[1] * m->dim[2] * m->dim[3]);
}

/* --- create --- */
static genai_result genai__stack_create(genai_model *m) {
    const genai_model_desc *d = &m->desc;
    int                     layers = genai__stack_count(m), units = m->dim[1] * m->dim[2] * m->dim[3], size[2] = {d->persistent, d->latent};
    GENAI__TRY(genai__binarise_check(m));
    if (strcmp(m->likelihood->name, "bernoulli") && strcmp(m->likelihood->name, "gaussian"))
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "the visible units of a %s are 'bernoulli' or 'gaussian', not '%s'", m->family->name, m->likelihood->name);
    if (layers > GENAI__STACK_MOST)
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "layers: there are %d, but at most %d can be below the top one", layers - 1, GENAI__STACK_MOST - 1);
    for (int l = 0, n; l < layers; l++, units += n) {
        n = m->net[GENAI__ENCODER]->layer[2 * l].n;
        size[1] = n > size[1] ? n : size[1];
    }
    for (int i = GENAI__UNITS; i <= GENAI__CHAINS - !d->persistent; i++) {
        m->extra[i] = i == GENAI__UNITS ? genai_tensor_create(m->ctx, 1, &units) : genai_tensor_create(m->ctx, 2, size);
        if (!m->extra[i]) return genai__result_of(m->ctx);
        m->extra[i]->name = genai__extra_names[i];
    }
    for (int i = 0; i < units; i++) m->extra[GENAI__UNITS]->data[i] = 0.5f; /* until the data tell */
    GENAI__TRY(genai__optimizer_begin(m, GENAI__DECODER, d->lr, GENAI__DECODER));
    for (int l = 0; l < layers; l++) {
        genai__rbm    r = genai__rbm_of(m, l);
        genai_tensor *const group[4] = {r.down_weight, r.b, r.c, r.up_weight};
        for (int i = 0; i < 4; i++) {
            GENAI__TRY(genai_optimizer_add_tensor(m->optimizer[GENAI__DECODER], group[i], 1));
            m->optimizer[GENAI__DECODER]->group[4 * l + i].bare = i == 1 || i == 2;
        }
        genai__rbm_tie(&r);
    }
    return GENAI_OK;
}

/* --- step --- */
/* The first step of layer l: it begins as layer l-1 upside down, with what more units it has nearly without effect, or, with
 * less room or other units there, with biases that fit. The visible biases are then the generative ones of the layer below. */
static void genai__stack_begin(genai_model *m, int l) {
    genai__stack_follow(m);
    genai__rbm below = genai__rbm_of(m, l - 1), r = genai__rbm_of(m, l);
    if (r.h >= below.v && !(below.square > 0)) {
        memcpy(r.down_weight->data, below.up_weight->data, below.up_weight->count * sizeof(float));
        memcpy(r.b->data, below.c->data, below.c->count * sizeof(float));
        memcpy(r.c->data, below.b->data, below.b->count * sizeof(float));
        memcpy(r.mean + r.v, below.mean, (size_t)below.v * sizeof(float));
    } else genai__rbm_start(&r);
    genai__rbm_tie(&r);
}

/* Generative weights of layer r learn to give v of h, or (back) recognition weights to give h of v: the delta rule. */
static genai_result genai__stack_delta(genai__rbm *r, genai_tensor *v, genai_tensor *h, int back) {
    if (!v || !h) return genai__result_of(r->m->ctx);
    genai_tensor *y = back ? genai__rbm_up(r, v) : genai__rbm_down(r, h);
    y = genai_sub(back || !(r->square > 0) ? genai_sigmoid(y) : y, back ? h : v);
    y = genai_scale(y, 1 / (float)v->dim[0] / (back && r->square > 0 ? r->square : 1), 0);
    if (!y) return genai__result_of(r->m->ctx);
    y->ctx->kernels->column_sums((size_t)y->dim[0], (size_t)y->dim[1], y->data, (back ? r->c : r->b)->grad->data);
    return back ? genai__rbm_products(v, y, r->up_weight) : genai__rbm_products(h, y, r->down_weight);
}

static genai_result genai__stack_step(genai_model *m, genai_tensor *x, float *value) {
    int              layers = genai__stack_count(m), at = layers > 1 ? (int)genai__smaller((size_t)(m->steps / m->desc.layer_steps), (size_t)layers) : 0, l, i;
    int              fresh = at < layers && m->steps == (long)at * m->desc.layer_steps, tuned = at == layers;
    genai_optimizer *o = m->optimizer[GENAI__DECODER];
    genai__dice      dice = {m->ctx, 0, 0, 0, 0, 0};
    genai_tensor    *state[GENAI__STACK_MOST + 1], *made, *v;
    genai__rbm       r[GENAI__STACK_MOST];
    genai_recording(m->ctx, 0);
    if (fresh && at) genai__stack_begin(m, at);
    at -= tuned;
    for (i = 0; i < layers; i++) r[i] = genai__rbm_of(m, i);
    r[at].once = m->desc.cd_steps == 1;
    for (i = 0; i < o->groups; i++) {
        l = i / 4;
        o->group[i].rests = i % 4 == 3 ? !tuned || l == at : l != at && !tuned;
        o->group[i].lr_scale = tuned ? 0.1f : 1; /* what has been learned needs finer steps */
    }
    state[0] = genai__rows(x);
    for (l = 0; l < at; l++) state[l + 1] = genai__rbm_hidden(&r[l], state[l], &dice);
    if (!state[at]) return genai__result_of(m->ctx);
    GENAI__TRY(genai__rbm_gradients(&r[at], state[at], fresh, value, &made));
    for (l = 0; tuned && l < at; l++) GENAI__TRY(genai__stack_delta(&r[l], state[l], state[l + 1], 0));
    for (l = at - 1; tuned && l >= 0; l--, made = v) {
        v = genai__rbm_drawn(&r[l], genai__rbm_down(&r[l], made), &dice);
        GENAI__TRY(genai__stack_delta(&r[l], v, made, 1));
    }
    GENAI__TRY(genai__learn_end(m, GENAI__DECODER));
    m->ctx->changes++;
    m->behind = at + 1;
    if (r[at].square > 0) genai__stack_follow(m);
    return GENAI_OK;
}

/* --- encode: the top units' probabilities; evaluate: the images these give --- */
static genai_tensor *genai__stack_encode(genai_model *m, genai_tensor *x) {
    genai__stack_follow(m);
    return genai__forward(m, m->net[GENAI__ENCODER], genai__binarised(m, x, 0), GENAI_EVAL);
}
static genai_result genai__stack_evaluate(genai_model *m, genai_tensor *x, size_t first, double *sum) {
    genai_tensor *loss = genai__reconstruction(m, genai__forward(m, m->net[GENAI__DECODER], genai__stack_encode(m, x), GENAI_EVAL), genai__binarised(m, x, 0));
    (void)first;
    *sum += (double)genai_value(loss) * x->dim[0];
    return loss ? GENAI_OK : genai__result_of(m->ctx);
}

/* --- sampling --- */
/* v [n, units of layer `low`], drawn anew by way of the layers above; top gets the top's units. Returns what v was drawn from. */
static genai_tensor *genai__stack_sweep(genai_model *m, int low, genai_tensor *v, genai__dice *d, float *top) {
    genai__rbm    r = genai__rbm_of(m, low);
    genai_tensor *x = v, *y = NULL;
    int           l;
    for (l = low; l < genai__stack_count(m); l++) {
        r = genai__rbm_of(m, l);
        x = genai__rbm_hidden(&r, x, d);
    }
    if (x && top) memcpy(top, x->data, x->count * sizeof *top);
    while (l-- > low) {
        r = genai__rbm_of(m, l);
        y = genai__rbm_down(&r, x);
        x = genai__rbm_drawn(&r, y, d);
    }
    if (x) memcpy(v->data, x->data, v->count * sizeof *top);
    return x && r.square <= 0 ? genai_sigmoid(y) : y;
}
static genai_tensor *genai__stack_means(genai_model *m, int l, int n) { /* of its visible units, where chains begin */
    genai__rbm r = genai__rbm_of(m, l);
    return genai__tiled(genai__matrix_of(m->ctx, 1, r.v, r.mean), n);
}

/* The top RBM's units after `gibbs` sweeps. */
static genai_result genai__stack_latents(genai_model *m, uint64_t seed, size_t first, int n, float *z) {
    genai__quiet  q = genai__quiet_begin(m->ctx);
    uint64_t      mode = genai__fp_enter();
    genai__dice   dice = {m->ctx, 1, GENAI__STREAM_SAMPLE, seed, 0, first};
    int           top = genai__stack_count(m) - 1;
    genai_tensor *v = genai__stack_means(m, top, n), *y = v;
    for (int i = 0; i < m->desc.gibbs && y; i++) {
        size_t mark = genai_tape_mark(m->ctx);
        y = genai__stack_sweep(m, top, v, &dice, z);
        genai_tape_release(m->ctx, mark);
    }
    genai__fp_leave(mode);
    genai__quiet_end(m->ctx, q);
    return y ? GENAI_OK : genai__result_of(m->ctx);
}

/* Images whose pixels with a weight of a half or more are held: what the others are expected to be, over the second half of the sweeps. */
static genai_result genai__stack_fill(genai_model *m, size_t first, int n, const float *known, const float *weight, const genai_refine_desc *d, float *out) {
    genai__quiet  q = genai__quiet_begin(m->ctx);
    genai__dice   dice = {m->ctx, 1, GENAI__STREAM_SAMPLE, d->seed, 0, first};
    genai_tensor *v = genai__stack_means(m, 0, n), *y = v;
    int           sweeps = d->steps > 0 ? d->steps : 1;
    memset(out, 0, (v ? v->count : 0) * sizeof *out);
    for (int s = 0; s < sweeps && y; s++) {
        size_t mark = genai_tape_mark(m->ctx), i;
        for (i = 0; i < v->count; i++) v->data[i] = weight[i % (v->count / (size_t)n)] >= 0.5f ? known[i] : v->data[i];
        y = genai__stack_sweep(m, 0, v, &dice, NULL);
        for (i = 0; y && i < v->count && s >= sweeps / 2; i++) out[i] += y->data[i] / (float)(sweeps - sweeps / 2);
        genai_tape_release(m->ctx, mark);
    }
    genai__quiet_end(m->ctx, q);
    return y ? GENAI_OK : genai__result_of(m->ctx);
}

/* --- likelihood: log p(x) + log Z of an RBM; of a stack a bound, with one draw h of the units below the top RBM:
 *   log p(x|h1) + log p(h1|h2) + ... - log q(h1|x) - log q(h2|h1) ... - F(top) <= log p(x) + log Z in expectation --- */
static genai_tensor *genai__stack_log(genai_tensor *y, genai_tensor *x) { /* -log of the probability of x by logits y */
    return genai_sum(genai_sub(genai_softplus(y), genai_mul(y, x)), 2);
}
static genai_result genai__stack_nll(genai_model *m, genai_tensor *x, size_t first, double *sum) {
    genai__dice   dice = {m->ctx, 1, GENAI__STREAM_EVALUATE, 0, 0, first};
    int           n = x->dim[0], top = genai__stack_count(m) - 1;
    genai_tensor *v = genai__rows(genai__binarised(m, x, 0)), *a, *h = v, *cost;
    for (int l = 0; l <= top; l++, v = h) {
        genai__rbm r = genai__rbm_of(m, l);
        a = genai__rbm_up(&r, v);
        if (l == top) cost = genai__rbm_free_energy(&r, v, a);
        else {
            h = genai__drawn(genai_sigmoid(a), &dice);
            cost = genai__rbm_down(&r, h);
            cost = r.square > 0 ? genai__reconstructions(m, cost, genai__images(m, v)) : genai__stack_log(cost, v);
            cost = genai_sub(cost, genai__stack_log(a, h));
        }
        if (!cost) return genai__result_of(m->ctx);
        for (int i = 0; i < n; i++) *sum += (double)cost->data[i];
    }
    return GENAI_OK;
}

static const genai__family genai__rbm_family = {
    "rbm", {"free_energy", "gap", NULL, NULL, NULL}, GENAI__ROLE(ENCODER) | GENAI__ROLE(DECODER), 0, GENAI__DECODER, genai__stack_text, genai__stack_create,
    genai__stack_step, genai__stack_encode, genai__vae_measure, genai__stack_evaluate, NULL, genai__stack_latents, 0,
};
static const genai__family genai__dbn_family = {
    "dbn", {"free_energy", "gap", NULL, NULL, NULL}, GENAI__ROLE(ENCODER) | GENAI__ROLE(DECODER), 0, GENAI__DECODER, genai__stack_text, genai__stack_create,
    genai__stack_step, genai__stack_encode, genai__vae_measure, genai__stack_evaluate, NULL, genai__stack_latents, 0,
};

/* ====================================================================================================================
 * >>models (private)
 * Presets, and what a caller does with a model: make, step, sample, encode, save, load. A preset is a row; the texts of
 * its nets are resolved when the model is made, so that a file holds the architecture itself and not a preset's name only.
 * ================================================================================================================= */
static const genai__family *const genai__families[] = {&genai__gan, &genai__vae, &genai__vaegan, &genai__aae, &genai__vqvae, &genai__translate, &genai__cycle,
                                                      &genai__rbm_family, &genai__dbn_family};

#define GENAI__K5_PAINTER                                                                                              \
    "dense 4*4*256 | lrelu 0.2 | batchnorm momentum 0.8 | reshape 4x4x256 | convt 128 k5 s1 | batchnorm momentum 0.8 | lrelu 0.2 | "  \
    "convt 128 k5 s2 | batchnorm momentum 0.8 | lrelu 0.2 | convt 64 k5 s2 | batchnorm momentum 0.8 | lrelu 0.2 | convt $C k5 s2 | tanh"

static const genai__preset genai__presets[] = {
    {{"gan", "gan", "convolutional GAN for any image size", 0, 0, 0, 16}, {32, 32, 3}, 100, {NULL, NULL, NULL, NULL},
     "nonsaturating", NULL, 0, 0, 4e-4f, 0, GENAI_ZERO, 0.9999f, GENAI_INIT_NORMAL},
    {{"vae", "vae", "convolutional variational autoencoder for any image size", 0, 0, 0, 64}, {32, 32, 3}, 64, {NULL, NULL, NULL, NULL},
     NULL, "bernoulli", 1, 0, 1e-3f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_DEFAULT},
    {{"vaegan", "vaegan", "VAE with a GAN's sharpness, for any image size (Larsen et al. 2016)", 0, 0, 0, 16}, {32, 32, 3}, 32, {NULL, NULL, NULL, NULL},
     "nonsaturating", "features", 5, 0.05f, 4e-4f, 0, GENAI_ZERO, 0.9999f, GENAI_INIT_NORMAL},
    {{"dcgan_k4", "gan", "DCGAN with kernels of 4, 32x32", 32, 32, 0, 64}, {32, 32, 3}, 100,
     {"dense 4*4*256 nobias | batchnorm | lrelu 0.3 | reshape 4x4x256 | convt 128 k4 s2 | batchnorm | lrelu 0.3 | convt 64 k4 s2 | batchnorm | "
      "lrelu 0.3 | convt $C k4 s2 | tanh",
      "conv 64 k4 s2 | lrelu 0.3 | conv 128 k4 s2 | lrelu 0.3 | flatten | dense 1", NULL, NULL},
     "nonsaturating", NULL, 0, 0, 2e-4f, 0, 0.5f, GENAI_ZERO, GENAI_INIT_NORMAL},
    {{"dcgan_k5", "gan", "DCGAN with kernels of 5 and dropout, 32x32", 32, 32, 0, 64}, {32, 32, 3}, 100,
     {GENAI__K5_PAINTER,
      "conv 64 k5 s2 | lrelu 0.2 | dropout 0.3 | conv 128 k5 s2 | lrelu 0.2 | dropout 0.3 | conv 256 k5 s2 | lrelu 0.2 | dropout 0.3 | flatten | dense 1",
      NULL, NULL},
     "nonsaturating", NULL, 0, 0, 2e-4f, 0, 0.5f, GENAI_ZERO, GENAI_INIT_NORMAL},
    {{"dcgan64", "gan", "the 64x64 DCGAN (Radford et al. 2016) with 64 to 512 channels", 64, 64, 0, 64}, {64, 64, 3}, 100,
     {"reshape 1x1x$Z | convt 512 k4 s1 valid nobias | batchnorm | relu | convt 256 k4 s2 nobias | batchnorm | relu | convt 128 k4 s2 nobias | "
      "batchnorm | relu | convt 64 k4 s2 nobias | batchnorm | relu | convt $C k4 s2 nobias | tanh",
      "conv 64 k4 s2 nobias | lrelu 0.2 | conv 128 k4 s2 nobias | batchnorm | lrelu 0.2 | conv 256 k4 s2 nobias | batchnorm | lrelu 0.2 | "
      "conv 512 k4 s2 nobias | batchnorm | lrelu 0.2 | conv 1 k4 s1 valid nobias | flatten", NULL, NULL},
     "nonsaturating", NULL, 0, 0, 2e-4f, 0, 0.5f, GENAI_ZERO, GENAI_INIT_NORMAL},
    {{"gan_dense_conv", "gan", "GAN of dense and transposed convolution layers, 32x32", 32, 32, 0, 64}, {32, 32, 1}, 100,
     {"dense 128 | lrelu 0.2 | dense 1024 | lrelu 0.2 | dense 8*8*256 | relu | reshape 8x8x256 | convt 128 k4 s2 | relu | convt $C k4 s2",
      "conv 64 k4 s2 | lrelu 0.2 | conv 128 k4 s2 | lrelu 0.2 | flatten | dense 1", NULL, NULL},
     "nonsaturating", NULL, 0, 0, 2e-4f, 0, 0.5f, GENAI_ZERO, GENAI_INIT_DEFAULT},
    {{"vae_mlp", "vae", "dense VAE D-128-64-20-64-128-D, squared error", 0, 0, 0, 64}, {28, 28, 1}, 20,
     {NULL, NULL, "dense 128 | relu | dense 64 | relu | dense 2*$Z", "dense 64 | relu | dense 128 | relu | dense $D | sigmoid"},
     NULL, "mse", 1, 0, 1e-3f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_DEFAULT},
    {{"vae_400_20", "vae", "dense VAE D-400-20-400-D, Bernoulli (Kingma and Welling 2014)", 0, 0, 0, 100}, {28, 28, 1}, 20,
     {NULL, NULL, "dense 400 init normal | relu | dense 2*$Z init normal", "dense 400 init glorot | relu | dense $D init normal"},
     NULL, "bernoulli", 1, 0, 1e-3f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_DEFAULT},
    {{"vae_conv_k5", "vae", "convolutional VAE with kernels of 5, squared error, 32x32", 32, 32, 0, 64}, {32, 32, 3}, 100,
     {NULL, NULL, "conv 64 k5 s2 | lrelu 0.2 | conv 128 k5 s2 | lrelu 0.2 | flatten | dense 2*$Z", GENAI__K5_PAINTER},
     NULL, "mse", 1, 0, 1e-3f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_DEFAULT},
    {{"ae_32", "vae", "plain autoencoder D-32-D, squared error", 0, 0, 0, 64}, {28, 28, 1}, 32,
     {NULL, NULL, "dense $Z", "dense $D | sigmoid"}, NULL, "mse", GENAI_ZERO, 0, 1e-3f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_DEFAULT},
    {{"vaegan_mlp", "vaegan", "dense VAE-GAN D-128-20-128-D, discriminator D-128-1, Bernoulli", 0, 0, 0, 64}, {28, 28, 1}, 20,
     {NULL, "dense 128 | relu | dense 1", "dense 128 | relu | dense 2*$Z", "dense 128 | relu | dense $D"},
     "nonsaturating", "bernoulli", 1, 1, 1e-3f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_DEFAULT},
    {{"ae", "vae", "convolutional autoencoder for any image size, sampled through a Gaussian mixture", 0, 0, 0, 64}, {32, 32, 3}, 32,
     {NULL, NULL, NULL, NULL, NULL}, NULL, "mse", GENAI_ZERO, 0, 1e-3f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_DEFAULT},
    {{"wae", "vae", "Wasserstein autoencoder with MMD for any image size (Tolstikhin et al. 2018)", 0, 0, 0, 64}, {32, 32, 3}, 16,
     {NULL, NULL, NULL, NULL, NULL}, NULL, "mse", 300, 0, 1e-3f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_DEFAULT},
    {{"iwae", "vae", "dense VAE D-400-20-400-D, 50 importance samples, black and white (Burda et al. 2016)", 0, 0, 0, 100}, {28, 28, 1}, 20,
     {NULL, NULL, "dense 400 init normal | relu | dense 2*$Z init normal", "dense 400 init glorot | relu | dense $D init normal", NULL},
     NULL, "bernoulli", 1, 0, 1e-3f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_DEFAULT},
    {{"aae", "aae", "adversarial autoencoder for any image size (Makhzani et al. 2016)", 0, 0, 0, 64}, {32, 32, 3}, 16,
     {NULL, NULL, NULL, NULL, NULL}, "nonsaturating", "mse", GENAI_ZERO, 0, 1e-3f, 2e-4f, 0.5f, GENAI_ZERO, GENAI_INIT_DEFAULT},
    {{"vqvae", "vqvae", "vector quantisation with a prior over codes, for any image size (van den Oord et al. 2017)", 0, 0, 0, 32}, {32, 32, 3}, 0,
     {NULL, NULL, NULL, NULL, NULL}, NULL, "mse", 0.25f, 0, 1e-3f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_DEFAULT},
    {{"translate", "translate", "images into images, from aligned pairs (Isola et al. 2017)", 0, 0, 0, 16}, {32, 32, 3}, 0, {NULL, NULL, NULL, NULL},
     "nonsaturating", NULL, 0, 100, 2e-4f, 0, 0.5f, 0.999f, GENAI_INIT_DEFAULT},
    {{"cycle", "cycle", "images into images of another kind, without pairs (Zhu et al. 2017)", 0, 0, 0, 8}, {32, 32, 3}, 0, {NULL, NULL, NULL, NULL},
     "lsgan", NULL, 0, 10, 2e-4f, 0, 0.5f, 0.999f, GENAI_INIT_DEFAULT},
    {{"rbm", "rbm", "restricted Boltzmann machine for any image size, persistent chains, centred", 0, 0, 0, 100}, {28, 28, 1}, 256, {NULL, NULL, NULL, NULL},
     NULL, "bernoulli", GENAI_ZERO, 0, 0.02f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_NORMAL},
    {{"rbm_500", "rbm", "restricted Boltzmann machine with 500 hidden units (Salakhutdinov and Murray 2008)", 0, 0, 0, 64}, {28, 28, 1}, 500, {NULL, NULL, NULL, NULL},
     NULL, "bernoulli", GENAI_ZERO, 0, 0.02f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_NORMAL},
    {{"dbn", "dbn", "deep belief net D-256-256 for any image size (Hinton et al. 2006)", 0, 0, 0, 100}, {28, 28, 1}, 256, {NULL, NULL, NULL, NULL},
     NULL, "bernoulli", GENAI_ZERO, 0, 0.02f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_NORMAL},
    {{"dbn_500_500_2000", "dbn", "deep belief net D-500-500-2000 (Hinton et al. 2006)", 0, 0, 0, 100}, {28, 28, 1}, 2000, {NULL, NULL, NULL, NULL},
     NULL, "bernoulli", GENAI_ZERO, 0, 0.02f, 0, 0.9f, GENAI_ZERO, GENAI_INIT_NORMAL},
};
#undef GENAI__K5_PAINTER

/* What else a preset sets. */
typedef struct genai__setting { const char *preset, *key, *value; } genai__setting;
static const genai__setting genai__settings[] = {
    {"gan", "r1", "2"}, {"gan", "beta2", "0.99"}, {"gan", "schedule", "inverse"},
    {"vaegan", "r1", "2"}, {"vaegan", "beta2", "0.99"}, {"vaegan", "schedule", "inverse"}, {"vaegan", "sampler", "mixture"}, {"vaegan", "components", "50"},
    {"ae", "sampler", "mixture"}, {"wae", "divergence", "mmd"}, {"iwae", "importance", "50"}, {"iwae", "binarise", "1"},
    {"dbn", "layers", "256"}, {"dbn_500_500_2000", "layers", "500 500"},
};

GENAI_API int                 genai_preset_count(void) { return (int)GENAI__COUNT(genai__presets); }
GENAI_API const genai_preset *genai_preset_at(int index) {
    return index >= 0 && index < genai_preset_count() ? &genai__presets[index].info : NULL;
}

static const genai__family *genai__family_of(const char *name) {
    for (size_t i = 0; i < GENAI__COUNT(genai__families); i++)
        if (!strcmp(genai__families[i]->name, name)) return genai__families[i];
    return NULL;
}

static const genai__preset *genai__preset_of(const char *name) {
    for (size_t i = 0; i < GENAI__COUNT(genai__presets); i++)
        if (!strcmp(genai__presets[i].info.name, name)) return &genai__presets[i];
    return NULL;
}

/* --- resolving a desc --- */
static const genai__field *genai__field_of(const char *key) {
    size_t i = 0;
    while (strcmp(genai__fields[i].key, key)) i++;
    return &genai__fields[i];
}
static const genai__field *genai__role_field(int role) {
    return genai__field_of(genai__role_names[role >= GENAI__GENERATOR_BACK ? role - GENAI__GENERATOR_BACK : role]);
}
static int genai__field_is_set(const genai__field *f, const genai_model_desc *d) {
    return f->kind == GENAI__FIELD_TEXT ? genai__field_words(f, d) != NULL
         : f->kind == GENAI__FIELD_INT || f->kind == GENAI__FIELD_WORD ? genai__field_int(f, d) != 0 : genai__field_float(f, d) != 0;
}

static const char *const genai__conditions[] = {"concat", "projection", "auxiliary"};
static genai_result genai__pairs_check(const genai_model *m, const char *what, const genai_dataset_info *info) {
    if (!info->pairs == !m->family->backs) return GENAI_OK;
    return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, info->pairs ? "%s: a %s takes images, but the data are pairs" : "%s: a %s takes pairs of images: see genai_dataset_pairs",
                       what, m->family->name);
}
/* Can the model use such data: in size, labels and kind? A buffer for images is too small for pairs. */
static genai_result genai__data_check(const genai_model *m, const char *what, const genai_dataset *data) {
    genai_dataset_info info = genai_dataset_describe(data);
    if (!info.count || info.width != m->dim[2] || info.height != m->dim[1] || info.channels != m->dim[3])
        return genai__fail(m->ctx, GENAI_ERROR_SHAPE, "%s: the data has %zu images of %dx%dx%d, but the model is for %dx%dx%d (WxHxC)", what, info.count, info.width,
                           info.height, info.channels, m->dim[2], m->dim[1], m->dim[3]);
    if (m->desc.classes && (!info.classes || info.classes > m->desc.classes))
        return genai__fail(m->ctx, GENAI_ERROR_DATA, "%s: the model is for %d classes, but the data has %d", what, m->desc.classes, info.classes);
    return genai__pairs_check(m, what, &info);
}

static genai_result genai__resolve_size(genai_model *m, const genai__preset *row, const genai_model_desc *given) {
    genai_ctx         *ctx = m->ctx;
    genai_model_desc  *d = &m->desc;
    genai_dataset_info info = GENAI__ZEROED;
    if (given->data) {
        info = genai_dataset_describe(given->data);
        if ((d->width && d->width != info.width) || (d->height && d->height != info.height) || (d->channels && d->channels != info.channels))
            return genai__fail(ctx, GENAI_ERROR_SHAPE, "the data has images of %dx%dx%d (WxHxC), but the model's settings say %dx%dx%d", info.width,
                               info.height, info.channels, d->width ? d->width : info.width, d->height ? d->height : info.height,
                               d->channels ? d->channels : info.channels);
    }
    if (strcmp(d->condition, "none") != 0) {
        size_t       how;
        GENAI__TRY(genai__words_find(ctx, "condition", d->condition, genai__conditions, GENAI__COUNT(genai__conditions), sizeof *genai__conditions, &how));
        if (how && strcmp(m->family->name, "gan") != 0)
            return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "condition: there is no '%.40s' for a %s, did you mean 'concat'?", d->condition, m->family->name);
        if (!d->classes) d->classes = info.classes;
        if (!d->classes || (given->data && info.classes > d->classes) || (given->data && !info.classes))
            return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "a model with condition %s needs labels: the data has %d classes, the settings say %d", d->condition,
                               info.classes, given->classes);
    } else if (d->classes)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "there are %d classes, but condition is none: take concat", d->classes);
    if (given->data) GENAI__TRY(genai__pairs_check(m, "genai_model_create", &info));
    if (!d->width) d->width = given->data ? info.width : row->usual[0];
    if (!d->height) d->height = given->data ? info.height : row->usual[1];
    if (!d->channels) d->channels = given->data ? info.channels : row->usual[2];
    if (d->width < 1 || d->height < 1 || d->width > 4096 || d->height > 4096 || d->channels < 1 || d->channels > 4)
        return genai__fail(ctx, GENAI_ERROR_SHAPE, "images of %dx%dx%d (WxHxC): sides must be from 1 to 4096, channels from 1 to 4", d->width, d->height,
                           d->channels);
    if (row->info.width && (d->width != row->info.width || d->height != row->info.height) && !given->generator && !given->decoder)
        return genai__fail(ctx, GENAI_ERROR_SHAPE, "preset %s makes images of %dx%d, but these are %dx%d (WxH): open the data with width %d and height %d "
                           "(--size %dx%d), or take preset %s, which fits any size", row->info.name, row->info.width, row->info.height, d->width, d->height,
                           row->info.width, row->info.height, row->info.width, row->info.height, row->info.family);
    m->dim[0] = 1;
    m->dim[1] = d->height;
    m->dim[2] = d->width;
    m->dim[3] = d->channels;
    return GENAI_OK;
}

/* The model's own text of one net: what was given, else the preset's, else the family's for this size. */
static genai_result genai__resolve_text(genai_model *m, const genai__preset *row, const genai_model_desc *given, int role) {
    const genai__field *f = genai__role_field(role);
    const char         *source = genai__field_words(f, given);
    genai__text         t = {m->ctx, NULL, 0, 0, 0};
    genai_result        result = GENAI_OK;
    if (!source) source = row->text[role];
    if (source) result = genai__expand(m, role, source, &t);
    else m->family->text(m, role, &t);
    if (!result && t.failed) result = GENAI_ERROR_MEMORY;
    if (!result) genai__field_put(f, &m->desc, &t.p, sizeof t.p);
    else genai__text_free(&t);
    return result;
}

/* What a text that isn't given is; NULL: there is none. */
static const char *genai__standard_text(const genai__preset *row, const genai_model_desc *given, const char *key) {
    static const char *const standard[][2] = {{"divergence", "kl"}, {"sampler", "prior"}, {"augment", "none"}};
    size_t i;
    if (!strcmp(key, "preset")) return row->info.name;
    if (!strcmp(key, "loss")) return row->loss;
    if (!strcmp(key, "likelihood")) return row->likelihood;
    if (!strcmp(key, "condition")) return given->classes ? "concat" : "none";
    for (i = 0; i < GENAI__COUNT(standard) && strcmp(standard[i][0], key); i++) {}
    return i < GENAI__COUNT(standard) ? standard[i][1] : NULL;
}

static genai_result genai__resolve(genai_model *m, const genai__preset *row, const genai_model_desc *given) {
    genai_model_desc *d = &m->desc;
    const char       *none = NULL, *text;
    int               role, zero = 0, boltzmann = genai__field_fits(genai__field_of("gibbs"), m->family->name);
    *d = *given;
    d->data = NULL;
    for (size_t i = 0; i < GENAI__COUNT(genai__fields); i++) {
        const genai__field *f = &genai__fields[i];
        if (f->kind == GENAI__FIELD_TEXT) genai__field_put(f, d, &none, sizeof none);
        if (f->kind == GENAI__FIELD_INT && f->low <= 0 && genai__field_int(f, d) == (int)GENAI_ZERO) genai__field_put(f, d, &zero, sizeof zero);
    }
    for (size_t i = 0; i < GENAI__COUNT(genai__fields); i++) {
        const genai__field *f = &genai__fields[i];
        int                 set = genai__field_is_set(f, given);
        GENAI__TRY(genai__field_check(m->ctx, f, d));
        if (set && !genai__field_fits(f, m->family->name))
            return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "preset %s is a %s, which has no setting '%s' (it belongs to %s)", row->info.name,
                               m->family->name, f->key, f->families);
        if (f->kind != GENAI__FIELD_TEXT || genai__field_is_net(f)) continue;
        text = genai__field_words(f, given);
        if (!text && genai__field_fits(f, m->family->name)) text = genai__standard_text(row, d, f->key);
        if (!text) continue;
        text = genai__copy_text(m->ctx, text, strlen(text));
        if (!text) return GENAI_ERROR_MEMORY;
        genai__field_put(f, d, &text, sizeof text);
    }
    GENAI__TRY(genai__resolve_size(m, row, given));
    if (!d->latent) d->latent = row->latent;
    if (d->classes && (m->family->backs || m->family->roles & GENAI__ROLE(PRIOR) || boltzmann))
        return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "a %s can't be conditional", m->family->name);
    if (!d->codes) d->codes = 256;
    if (!d->code_size) d->code_size = 32;
    if (!d->latent) d->latent = genai__vqvae_cells(m) * d->code_size;
    if (d->beta == 0) d->beta = row->beta;
    if (d->gamma == 0) d->gamma = row->gamma;
    if (d->sigma == 0) d->sigma = boltzmann ? 0.3f : 0.1f;
    if (!d->importance) d->importance = 1;
    if (!d->components) d->components = 10;
    if (d->divergence && strcmp(d->divergence, "kl") && strcmp(d->divergence, "mmd"))
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "divergence: there is no '%.40s', only kl and mmd", d->divergence);
    if (d->sampler && strcmp(d->sampler, "prior") && strcmp(d->sampler, "gaussian") && strcmp(d->sampler, "mixture"))
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "sampler: there is no '%.40s', only prior, gaussian and mixture", d->sampler);
    if (d->sampler && strcmp(d->sampler, "prior") && d->latent > GENAI__SAMPLER_MOST)
        return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "sampler %s: covariances of %d latents are too large, %d is the most", d->sampler, d->latent, GENAI__SAMPLER_MOST);
    if (boltzmann) {
        if (!given->persistent) d->persistent = row->info.batch;
        if (!given->centred) d->centred = 1;
        if (!d->cd_steps) d->cd_steps = 1;
        if (!d->layer_steps) d->layer_steps = 1000;
        if (d->sparsity_cost == 0) d->sparsity_cost = 0.1f;
        if (!d->gibbs) d->gibbs = 200;
        if (!d->rule) d->rule = GENAI_RULE_SGD;
        if (d->lr == 0 && !strcmp(d->likelihood, "gaussian")) d->lr = row->lr / 10;
    }
    if (!d->rule) d->rule = GENAI_RULE_ADAM;
    if (d->lr == 0) d->lr = row->lr;
    if (d->lr_discriminator == 0 && (m->family->roles & GENAI__ROLE(DISCRIMINATOR))) d->lr_discriminator = row->lr_discriminator > 0 && given->lr == 0 ? row->lr_discriminator : d->lr;
    if (d->beta1 == 0) d->beta1 = row->beta1;
    if (d->beta2 == 0) d->beta2 = d->rule == GENAI_RULE_RMSPROP ? 0.99f : 0.999f;
    if (d->ema == 0) d->ema = row->ema;
    if (d->r1 < 0) d->r1 = 0;
    if (d->r1 > 0 && !d->r1_every) d->r1_every = 16;
    if (!d->critic_steps) d->critic_steps = 1;
    if (!d->init) d->init = row->init;
    if (!d->schedule) d->schedule = GENAI_SCHEDULE_CONSTANT;
    if (d->schedule == GENAI_SCHEDULE_INVERSE && !d->schedule_steps) d->schedule_steps = 2000;
    if (d->schedule != GENAI_SCHEDULE_CONSTANT && !d->schedule_steps)
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "schedule %s needs schedule_steps, the number of steps it goes over", genai__schedule_words[d->schedule]);
    for (role = 0; role < GENAI__GENERATOR_BACK; role++) /* one text serves both ways */
        if (m->family->roles >> role & 1) {
            GENAI__TRY(genai__resolve_text(m, row, given, role));
        }
    return GENAI_OK;
}

/* --- create and destroy --- */
GENAI_API void genai_model_destroy(genai_model *m) {
    if (!m) return;
    for (int role = 0; role < GENAI__ROLES; role++) {
        genai_optimizer_destroy(m->optimizer[role]);
        genai_net_destroy(m->net[role]);
        genai_net_destroy(m->average[role]);
    }
    for (size_t i = 0; i < GENAI__COUNT(genai__fields); i++)
        if (genai__fields[i].kind == GENAI__FIELD_TEXT) genai__free(m->ctx, genai__field_words(&genai__fields[i], &m->desc));
    for (size_t i = 0; i < GENAI__EXTRAS; i++) genai_tensor_destroy(m->extra[i]);
    genai__free(m->ctx, m->kept);
    genai__free(m->ctx, m->scratch);
    genai__free(m->ctx, m);
}

/* Pixels are in [-1,1] for nets that end with tanh, in [0,1] for those that end with sigmoid; a GAN's without either has [-1,1], a VAE's [0,1]. */
static int genai__signed_range(const genai_model *m) {
    const genai__layer *last = genai__last_layer(m->net[m->family->painter]);
    if (last->kind->forward == genai__forward_tanh) return 1;
    return last->kind->forward != genai__forward_sigmoid && m->family->painter == GENAI__GENERATOR;
}

static int genai__judges(int role) { return role == GENAI__DISCRIMINATOR || role == GENAI__DISCRIMINATOR_BACK; }
static genai_net_desc genai__model_net_desc(const genai_model *m, int role, const char *name) {
    genai_net_desc d = GENAI__ZEROED;
    int            values = m->family->backs ? 0 : role == m->family->painter ? m->desc.latent : m->family->takes ? m->family->takes(m, role) : 0;
    d.name = name;
    d.text = genai__field_words(genai__role_field(role), &m->desc);
    d.init = m->desc.init;
    d.classes = m->desc.classes;
    d.ndim = values ? 1 : 3;
    memcpy(d.dim, m->dim + 1, sizeof d.dim);
    if (values) d.dim[0] = values;
    if (genai__judges(role)) d.spectral_norm = m->desc.spectral_norm;
    if (genai__judges(role) && m->family->backs == 1) d.dim[2] *= 2; /* what was made beside what it was made of */
    return d;
}

/* Nets take images, or latents if they make images; what they must give is checked here. */
static genai_result genai__model_net(genai_model *m, int role, const char *prefix, genai_net **net) {
    char name[32], want[40], have[40];
    int  dim[3], painted[3], ndim, values = 1, i, paints = role == m->family->painter || role == GENAI__GENERATOR_BACK;
    sprintf(name, "%s%s", prefix, genai__role_names[role]);
    genai_net_desc d = genai__model_net_desc(m, role, name);
    *net = genai_net_create(m->ctx, &d);
    if (!*net) return genai__result_of(m->ctx);
    ndim = genai_net_output(*net, dim);
    for (i = 0; i < ndim; i++) values *= dim[i];
    memcpy(painted, m->dim + 1, sizeof painted);
    if (m->likelihood && m->likelihood->halves) painted[2] *= 2;
    if (paints && (ndim == 3 ? memcmp(dim, painted, sizeof dim) != 0 : values != painted[0] * painted[1] * painted[2]))
        return genai__fail(m->ctx, GENAI_ERROR_SHAPE, "%s: its output is %s, but the images are %s (HxWxC%s)", name, genai__dims_text(have, ndim, dim),
                           genai__dims_text(want, 3, painted), painted[2] > m->dim[3] ? ", of means and log-variances" : "");
    if (m->desc.classes && !(*net)->labelled && (paints || (genai__judges(role) && !m->family->takes && !genai__condition(m, "auxiliary"))))
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "condition is %s, but no layer of the %s's text reads labels: begin it with 'label', or %s", m->desc.condition, name,
                           paints ? "take cbatchnorm" : "end it with 'project'");
    i = genai__condition(m, "auxiliary") ? 1 + m->desc.classes : 1;
    if (genai__judges(role) && values != i)
        return genai__fail(m->ctx, GENAI_ERROR_SHAPE, "%s: its output is %s, but it must be one logit for each image%s (end it with 'dense %d')", name,
                           genai__dims_text(have, ndim, dim), i > 1 ? " and one for each class" : "", i);
    return GENAI_OK;
}

static genai_result genai__model_make(genai_model *m) {
    size_t       statistics = 0;
    genai_result result = m->desc.likelihood ? genai__find_likelihood(m) : GENAI_OK;
    for (int role = 0; role < GENAI__ROLES && !result; role++) {
        if (!(m->family->roles >> role & 1)) continue;
        result = genai__model_net(m, role, "", &m->net[role]);
        if (!result) statistics += m->net[role]->running_size;
        if (!result && m->desc.ema > 0 && (m->family->averaged >> role & 1)) {
            result = genai__model_net(m, role, "average.", &m->average[role]);
            if (!result) result = genai_net_average(m->average[role], m->net[role], 0);
        }
    }
    if (result) return result;
    m->signed_range = genai__signed_range(m);
    result = m->family->create(m);
    for (int role = GENAI__CODES; role < GENAI__EXTRAS; role++) statistics += m->extra[role] ? m->extra[role]->count : 0;
    m->kept = result ? NULL : (float *)genai__alloc(m->ctx, statistics + 1, sizeof(float));
    return result || m->kept ? result : GENAI_ERROR_MEMORY;
}

static genai_model *genai__model_begin(genai_ctx *ctx, const genai__preset *row, const genai_model_desc *given) {
    genai_model *m = (genai_model *)genai__alloc(ctx, 1, sizeof *m);
    if (!m) return NULL;
    m->critic = GENAI__DISCRIMINATOR;
    m->ctx = ctx;
    m->seed = ctx->desc.seed;
    m->family = genai__family_of(row->info.family);
    if (genai__resolve(m, row, given)) return genai_model_destroy(m), GENAI__NULL;
    return m;
}

GENAI_API genai_model *genai_model_create(genai_ctx *ctx, const genai_model_desc *desc) {
    genai_model_desc d = GENAI__ZEROED;
    if (!ctx || ctx->result) return NULL; /* say, data that could not be opened: no model of another size in its place */
    if (desc) d = *desc;
    if (!d.preset) d.preset = "gan";
    const genai__preset *row = genai__preset_of(d.preset);
    if (!row)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "there is no preset '%.40s', did you mean '%s'?", d.preset,
                           genai__nearest(d.preset, strlen(d.preset), genai__presets, GENAI__COUNT(genai__presets), sizeof genai__presets[0])), GENAI__NULL;
    for (size_t i = 0; i < GENAI__COUNT(genai__settings); i++) { /* here, since files hold their own */
        const genai__field *f = genai__field_of(genai__settings[i].key);
        if (f->offset == offsetof(genai_model_desc, r1) && (d.discriminator || d.loss || d.penalty > 0 || d.clip > 0 || d.spectral_norm > 0)) continue; /* another recipe */
        if (f->offset == offsetof(genai_model_desc, sampler) && d.latent > GENAI__SAMPLER_MOST && strcmp(d.preset, "ae")) continue; /* the prior does, too */
        if (!strcmp(genai__settings[i].preset, d.preset) && !genai__field_is_set(f, &d) && genai__field_set(ctx, f, &d, genai__settings[i].value)) return NULL;
    }
    genai_model *m = genai__model_begin(ctx, row, &d);
    if (m && (genai__model_make(m) || (m->extra[GENAI__UNITS] && d.data && genai__rbm_begin(m, d.data)))) return genai_model_destroy(m), GENAI__NULL;
    return m;
}

GENAI_API genai_model_desc genai_model_resolved(const genai_model *m) {
    genai_model_desc none = GENAI__ZEROED;
    return m ? m->desc : none;
}
GENAI_API const char *genai_model_get(const genai_model *m, const char *key, char *to) {
    for (size_t i = 0; m && key && to && i < GENAI__COUNT(genai__fields); i++)
        if (!strcmp(genai__fields[i].key, key)) return genai__field_text(&genai__fields[i], &m->desc, to);
    return NULL;
}
GENAI_API const char *genai_model_family(const genai_model *m) { return m ? m->family->name : ""; }
GENAI_API long        genai_model_steps(const genai_model *m) { return m ? m->steps : 0; }
GENAI_API uint64_t    genai_model_seed(const genai_model *m) { return m ? m->seed : 0; }

GENAI_API size_t genai_model_describe(const genai_model *m, char *to, size_t size) {
    genai__table t = {to, size, 0};
    char         line[400], number[32];
    if (size) to[0] = 0;
    if (!m) return 0;
    size_t n = (size_t)snprintf(line, sizeof line, "preset %s, family %s, images %dx%dx%d (HxWxC) in [%d,1], %ld steps, seed %llu\n", m->desc.preset, m->family->name,
                         m->dim[1], m->dim[2], m->dim[3], m->signed_range ? -1 : 0, m->steps, (unsigned long long)m->seed);
    genai__table_add(&t, line, n < sizeof line ? n : sizeof line - 1, 0);
    for (size_t i = 0; i < GENAI__COUNT(genai__fields); i++) {
        const genai__field *f = &genai__fields[i];
        if (!genai__field_fits(f, m->family->name) || f->offset <= offsetof(genai_model_desc, channels) || genai__field_is_net(f)) continue;
        const char *value = genai__field_text(f, &m->desc, number);
        n = (size_t)snprintf(line, sizeof line, "%-16s %s\n", f->key, value ? value : "");
        genai__table_add(&t, line, n < sizeof line ? n : sizeof line - 1, 0);
    }
    for (int role = 0; role < GENAI__ROLES; role++) {
        if (!m->net[role]) continue;
        n = (size_t)snprintf(line, sizeof line, "\n%s%s\n", genai__role_names[role], m->average[role] ? " (and its average)" : "");
        genai__table_add(&t, line, n, 0);
        t.length += genai_net_describe(m->net[role], t.length < size ? to + t.length : NULL, t.length < size ? size - t.length : 0);
    }
    return t.length;
}

/* --- step --- */
static const char *genai__loss_name(const genai_model *m, int i) {
    return m->desc.divergence && !strcmp(m->desc.divergence, "mmd") && !strcmp(m->family->losses[i], "kl") ? "mmd" : m->family->losses[i];
}

static float *genai__keep(float *kept, float *values, size_t n, int back) { /* returns where the next are kept */
    if (n) memcpy(back ? values : kept, back ? kept : values, n * sizeof(float));
    return kept + n;
}

/* Copies the running statistics of all nets, and the codebook, out (or back, when a step has gone wrong): a forward pass changes them. */
static void genai__keep_statistics(genai_model *m, int back) {
    float *kept = m->kept;
    m->ctx->changes++;
    for (int role = 0; role < GENAI__ROLES; role++)
        if (m->net[role]) kept = genai__keep(kept, m->net[role]->running, m->net[role]->running_size, back);
    for (int i = GENAI__CODES; i < GENAI__EXTRAS; i++)
        if (m->extra[i]) kept = genai__keep(kept, m->extra[i]->data, m->extra[i]->count, back);
}

/* What a call puts back as it found it: the floating-point mode, recording, and where the caller's random numbers stand. */
typedef struct genai__visit { uint64_t mode, step; uint32_t stream, draw; int recording; } genai__visit;
static genai__visit genai__visit_begin(genai_ctx *ctx) {
    genai__visit v = {genai__fp_enter(), ctx->step, ctx->stream, ctx->draw, genai_recording(ctx, 1)};
    return v;
}
static void genai__visit_end(genai_ctx *ctx, const genai__visit *v) {
    genai_recording(ctx, v->recording);
    ctx->stream = v->stream;
    ctx->step = v->step;
    ctx->draw = v->draw;
    genai__fp_leave(v->mode);
}

/* How many images come with a batch of n. */
static size_t genai__at_once(const genai_model *m, int n) { return (size_t)n * (m->family->backs ? 2 : 1); }

/* Images as a tensor on the tape, in the range that the nets want. */
static genai_tensor *genai__model_input(genai_model *m, int n, const float *images) {
    int           dim[4] = {n, m->dim[1], m->dim[2], m->dim[3]};
    genai_tensor *x = genai_tensor_of(m->ctx, 4, dim, images);
    return m->signed_range ? genai__unary_apply(&genai__op_scale, offsetof(genai__kernels, scale), x, 2, -1, x) : x;
}

/* The averaged nets follow. Mean and variance of what an averaged net computes aren't the averages of those on the way: its weights
 * have less noise, so the variances are less, and images would come out pale. Who learns to paint from the prior's latents therefore learns them
 * from passes of its own (standing statistics, Brock et al. 2019, appendix), one in every fourth update. */
static genai_result genai__model_average(genai_model *m, int n) {
    long         t = m->steps / m->desc.critic_steps;
    float        decay = m->desc.ema, early = (1 + (float)t) / (10 + (float)t); /* the first updates are soon forgotten */
    genai_net   *own = m->net[GENAI__DISCRIMINATOR] && !m->family->takes && !m->family->backs ? m->average[m->family->painter] : NULL;
    genai_result result = GENAI_OK;
    int          role, i, statistics = 0;
    if (m->steps % m->desc.critic_steps) return GENAI_OK; /* the generator hasn't learnt */
    for (role = 0; role < GENAI__ROLES && !result; role++)
        if (m->average[role]) result = genai__net_average(m->average[role], m->net[role], decay < early ? decay : early, m->average[role] != own);
    for (i = 0; own && i < own->layers; i++)
        if (own->layer[i].kind->owns == GENAI__OWNS_SCALE_AND_STATISTICS) {
            own->layer[i].momentum = early < 0.98f ? early : 0.98f;
            statistics = 1;
        }
    if (result || !statistics || t % 4) return result;
    genai_random_at(m->ctx, GENAI__STREAM_AVERAGE, (uint64_t)m->steps);
    genai_recording(m->ctx, 0);
    if (!genai__forward(m, own, genai__latents(m, n), GENAI_TRAIN)) result = genai__result_of(m->ctx);
    genai_tape_release(m->ctx, m->mark);
    return result;
}

/* Room for `components` of a sampler in the model; none for 0. */
static genai_result genai__sampler_make(genai_model *m, int components) {
    int dim[3] = {components, m->desc.latent, m->desc.latent};
    for (int i = 0; i < 3; i++) {
        genai_tensor_destroy(m->extra[i]);
        m->extra[i] = NULL;
    }
    for (int i = 0; i < 3 && components; i++) {
        m->extra[i] = genai_tensor_create(m->ctx, i + 1, dim);
        if (!m->extra[i]) {
            genai__sampler_make(m, 0);
            return genai__result_of(m->ctx);
        }
        m->extra[i]->name = genai__extra_names[i];
    }
    return GENAI_OK;
}

/* Takes the labels of n images for what follows; NULL afterwards where the model has no use for them. */
static genai_result genai__model_labels(genai_model *m, const char *what, int n, const int *labels) {
    m->labels = m->desc.classes ? labels : NULL;
    if (!m->desc.classes) return GENAI_OK;
    if (!labels) return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "%s: labels are NULL, but the model has condition %s", what, m->desc.condition);
    for (int i = 0; i < n; i++)
        if (labels[i] < 0 || labels[i] >= m->desc.classes)
            return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "%s: label %d of image %d must be from 0 to %d", what, labels[i], i, m->desc.classes - 1);
    return GENAI_OK;
}

GENAI_API genai_result genai_model_step(genai_model *m, int n, const float *images, const int *labels, genai_losses *losses) {
    genai_losses mine;
    if (!m) return GENAI_ERROR_ARGUMENT;
    genai_ctx *ctx = m->ctx;
    if (!losses) losses = &mine;
    memset(losses, 0, sizeof *losses);
    if (n < 1 || !images) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_model_step: %s", images ? "n must be at least 1" : "images is NULL");
    GENAI__TRY(genai__model_labels(m, "genai_model_step", n, labels));
    genai__visit visit = genai__visit_begin(ctx);
    m->mark = genai_tape_mark(ctx);
    m->judged = m->right = 0;
    genai_random_at(ctx, GENAI__STREAM_STEP, (uint64_t)m->steps); /* the step's draws depend on its number alone: resume is exact */
    genai__keep_statistics(m, 0);
    for (; m->family->losses[losses->count]; losses->count++) losses->name[losses->count] = genai__loss_name(m, losses->count);
    genai_tensor *x = genai__binarised(m, genai__model_input(m, (int)genai__at_once(m, n), images), 1);
    genai_result result = x ? m->family->step(m, x, losses->value) : genai__result_of(ctx);
    genai_tape_release(ctx, m->mark);
    if (result) {
        genai__keep_statistics(m, 1);
        for (int i = 0; i < GENAI__ROLES; i++) genai_net_trainable(m->net[i], 1);
    }
    if (result == GENAI_ERROR_NONFINITE) {
        losses->skipped = 1;
        m->skipped++;
        m->skipped_in_row++;
        m->steps++;
        result = GENAI_OK;
    } else if (!result) {
        m->steps++;
        m->skipped_in_row = 0;
        genai__sampler_make(m, 0); /* one that was fitted belongs to the encoder of before */
        result = genai__model_average(m, n);
    }
    genai__visit_end(ctx, &visit);
    return result;
}

/* --- samplers: a mixture of normal distributions with full covariances, fitted to latents by EM in double --- */
#define GENAI__MIXTURE_IMAGES 10000
#define GENAI__MIXTURE_SIZE 204800 /* components times latents squared, unless asked for: so that it takes seconds          */
#define GENAI__MIXTURE_HARD 5   /* first iterations: each point belongs to the nearest mean                              */
#define GENAI__MIXTURE_MOST 50  /* iterations at most; ends when a point's log-likelihood grows by less than 0.0001      */

typedef struct genai__mixture {
    size_t  n;
    int     z, k, hard;
    double  spread, floor;  /* mean variance of a latent; what is added to each variance, so that none is 0              */
    double *x, *share;      /* [n,z] points; [n,k] how much of each point belongs to each component                       */
    double *likelihood;     /* [n] log of each point; less its squared distance while hard                                */
    double *weight, *mean, *factor, *inverse, *base, *log_scale, *spare; /* [k], [k,z], Cholesky [k,z,z], its inverse, inverse times mean, ... */
} genai__mixture;

static double genai__mixture_apart(const double *a, const double *b, int n) { /* squared */
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

/* Shares and likelihood of one point: log of weight_k N(x; mean_k, L_k L_k'), through y = L^-1 (x - mean). */
static void genai__mixture_point(void *arg, size_t row) {
    const genai__mixture *q = (const genai__mixture *)arg;
    const double         *x = q->x + row * (size_t)q->z;
    double               *share = q->share + row * (size_t)q->k, most = 0, sum = 0;
    int                   k, i, j, best = 0;
    for (k = 0; k < q->k; k++) {
        const double *l = q->inverse + (size_t)k * (size_t)q->z * (size_t)q->z, *base = q->base + (size_t)k * (size_t)q->z;
        double        square = 0;
        if (q->hard) square = 2 * genai__mixture_apart(x, q->mean + (size_t)k * (size_t)q->z, q->z);
        else for (i = 0; i < q->z; i++, l += q->z) {
            double y = -base[i];
            for (j = 0; j <= i; j++) y += l[j] * x[j];
            square += y * y;
        }
        share[k] = (q->hard ? 0 : q->log_scale[k]) - 0.5 * square;
        if (!k || share[k] > most) { most = share[k]; best = k; }
    }
    for (k = 0; k < q->k; k++) sum += share[k] = q->hard ? k == best : genai__exp(share[k] - most);
    for (k = 0; k < q->k; k++) share[k] /= sum;
    q->likelihood[row] = q->hard ? most : most + genai__log(sum);
}

/* Cholesky factor of the covariance in `factor`, in place, its inverse, and what follows from them. */
static void genai__mixture_factor(const genai__mixture *q, int k) {
    size_t  n = (size_t)q->z, i, j, l;
    double *a = q->factor + (size_t)k * n * n, *inverse = q->inverse + (size_t)k * n * n, *base = q->base + (size_t)k * n;
    q->log_scale[k] = genai__log(q->weight[k]) - (double)q->z * GENAI__HALF_LOG_2PI;
    for (i = 0; i < n; i++)
        for (j = 0; j <= i; j++) {
            double sum = a[i * n + j];
            for (l = 0; l < j; l++) sum -= a[i * n + l] * a[j * n + l];
            a[i * n + j] = i > j ? sum / a[j * n + j] : sqrt(sum); /* of at least the floor */
        }
    for (i = 0; i < n; i++) {
        q->log_scale[k] -= genai__log(a[i * n + i]);
        base[i] = 0;
        for (j = 0; j <= i; j++) {
            double sum = i == j;
            for (l = j; l < i; l++) sum -= a[i * n + l] * inverse[l * n + j];
            inverse[i * n + j] = sum / a[i * n + i];
            base[i] += inverse[i * n + j] * q->mean[(size_t)k * n + j];
        }
    }
}

/* Weight, mean and covariance of a component, from the shares; weight 0 if it is empty. */
static void genai__mixture_component(void *arg, int k) {
    const genai__mixture *q = (const genai__mixture *)arg;
    size_t  n = (size_t)q->z, row, i, j;
    double *mean = q->mean + (size_t)k * n, *a = q->factor + (size_t)k * n * n, *d = q->spare + (size_t)k * n, sum = 0;
    for (row = 0; row < q->n; row++) sum += q->share[row * (size_t)q->k + (size_t)k];
    q->weight[k] = sum < 1e-3 ? 0 : sum / (double)q->n;
    if (sum < 1e-3) return;
    for (i = 0; i < n; i++) mean[i] = 0;
    memset(a, 0, n * n * sizeof *a);
    for (row = 0; row < q->n; row++)
        for (i = 0; i < n; i++) mean[i] += q->share[row * (size_t)q->k + (size_t)k] / sum * q->x[row * n + i];
    for (row = 0; row < q->n; row++) {
        double share = q->share[row * (size_t)q->k + (size_t)k] / sum;
        if (share < 1e-12) continue;
        for (i = 0; i < n; i++) d[i] = q->x[row * n + i] - mean[i];
        for (i = 0; i < n; i++)
            for (j = 0; j <= i; j++) a[i * n + j] += share * d[i] * d[j];
    }
    for (i = 0; i < n; i++) a[i * n + i] += q->floor;
    genai__mixture_factor(q, k);
}

/* An empty component begins anew at the point that is explained worst. */
static void genai__mixture_revive(const genai__mixture *q, int k) {
    size_t n = (size_t)q->z, worst = 0, row, i;
    for (row = 1; row < q->n; row++)
        if (q->likelihood[row] < q->likelihood[worst]) worst = row;
    q->likelihood[worst] = 1e300;
    q->weight[k] = 1 / (double)q->n;
    memcpy(q->mean + (size_t)k * n, q->x + worst * n, n * sizeof *q->mean);
    memset(q->factor + (size_t)k * n * n, 0, n * n * sizeof *q->factor);
    for (i = 0; i < n; i++) q->factor[((size_t)k * n + i) * n + i] = q->spread + q->floor;
    genai__mixture_factor(q, k);
}

/* First means: points, each drawn with a probability that grows with the squared distance to those before (Arthur and Vassilvitskii 2007). */
static void genai__mixture_begin(const genai_ctx *ctx, genai__mixture *q) {
    size_t n = (size_t)q->z, row, i;
    q->spread = 0;
    for (i = 0; i < n; i++) {
        double mean = 0, square = 0;
        for (row = 0; row < q->n; row++) mean += q->x[row * n + i] / (double)q->n;
        for (row = 0; row < q->n; row++) square += (q->x[row * n + i] - mean) * (q->x[row * n + i] - mean);
        q->spread += square / (double)q->n / (double)n;
    }
    q->floor = 1e-4 * q->spread + 1e-10;
    for (row = 0; row < q->n; row++) q->likelihood[row] = 1;
    for (int k = 0; k < q->k; k++) {
        double total = 0, at;
        for (row = 0; row < q->n; row++) total += q->likelihood[row];
        if (!(total > 0)) total = (double)q->n; /* all points are means already */
        at = total * genai__draw(ctx->desc.seed, GENAI__STREAM_MIXTURE, 0, 0, (uint32_t)k).w[0] / 4294967296.0;
        for (row = 0; row + 1 < q->n && at >= q->likelihood[row]; row++) at -= q->likelihood[row];
        memcpy(q->mean + (size_t)k * n, q->x + row * n, n * sizeof *q->mean);
        for (row = 0; row < q->n; row++) {
            double d = genai__mixture_apart(q->x + row * n, q->mean + (size_t)k * n, q->z);
            if (!k || d < q->likelihood[row]) q->likelihood[row] = d;
        }
    }
}

/* Expectation and maximisation in turn (Dempster et al. 1977). Each sum runs in one order, so any threads give the same bits. */
static void genai__mixture_run(genai_ctx *ctx, genai__mixture *q) {
    double   before = 0, now;
    uint64_t mode = genai__fp_enter();
    size_t   row;
    genai__mixture_begin(ctx, q);
    for (int i = 0; i < GENAI__MIXTURE_MOST; i++, before = now) {
        q->hard = i < GENAI__MIXTURE_HARD;
        genai__for_rows(ctx, q->n, (size_t)(q->k * q->z) * (size_t)q->z, genai__mixture_point, q);
        for (now = 0, row = 0; row < q->n; row++) now += q->likelihood[row] / (double)q->n;
        genai__parallel(ctx, q->k, genai__mixture_component, q);
        if (i > GENAI__MIXTURE_HARD && now - before < 1e-4) break;
        for (int k = 0; k < q->k && i + 1 < GENAI__MIXTURE_MOST; k++)
            if (!(q->weight[k] > 0)) genai__mixture_revive(q, k);
    }
    genai__fp_leave(mode);
}

/* z, standard normals, becomes mean + factor z of a component drawn by (seed, number). */
static void genai__sampler_apply(const genai_model *m, uint64_t seed, uint32_t number, float *z) {
    const genai_tensor *weight = m->extra[GENAI__SAMPLER_WEIGHT];
    double              at = genai__draw(0, GENAI__STREAM_COMPONENT, seed, 0, number).w[0] / 4294967296.0;
    size_t              n = (size_t)m->desc.latent, k, i, j, last = 0;
    for (k = 0; k < weight->count; k++) {
        if (!(weight->data[k] > 0)) continue;
        last = k;
        at -= (double)weight->data[k];
        if (at < 0) break;
    }
    for (i = n; i-- > 0;) {
        double sum = (double)m->extra[GENAI__SAMPLER_MEAN]->data[last * n + i];
        const float *row = m->extra[GENAI__SAMPLER_FACTOR]->data + (last * n + i) * n;
        for (j = 0; j <= i; j++) sum += (double)row[j] * (double)z[j];
        z[i] = (float)sum;
    }
}

/* --- sampling and encoding --- */
/* Images from latents, in [0,1] or near it, with running statistics, so that an image doesn't depend on those beside it. */
static genai_tensor *genai__decoded(genai_model *m, genai_tensor *z) {
    genai_tensor *y = genai__painted(m, genai__forward(m, genai__best(m, m->family->painter), z, GENAI_EVAL));
    return m->signed_range ? genai_scale(y, 0.5f, 0.5f) : y;
}

static genai_result genai__values_of(const genai_ctx *ctx, const genai_tensor *t, float *to) { /* t may be NULL */
    if (!t) return genai__result_of(ctx);
    memcpy(to, t->data, t->count * sizeof *to);
    return GENAI_OK;
}

static genai_result genai__model_paint(genai_model *m, int n, const float *z, const int *labels, float *images) {
    genai__quiet q = genai__quiet_begin(m->ctx);
    const int   *was = m->labels;
    m->labels = labels;
    genai_tensor *y = genai__decoded(m, genai__matrix_of(m->ctx, n, m->desc.latent, z));
    genai_result  result = genai__values_of(m->ctx, genai_clamp(y, 0, 1), images);
    m->labels = was;
    genai__quiet_end(m->ctx, q);
    return result;
}

static size_t genai__pixels(const genai_model *m) { return (size_t)m->dim[1] * (size_t)m->dim[2] * (size_t)m->dim[3]; }
static int    genai__portion(int i, int n) { return n - i < GENAI__PORTION ? n - i : GENAI__PORTION; }

static genai_result genai__model_check(genai_model *m, const char *what, int n, const void *a, const void *b) {
    if (!m) return GENAI_ERROR_ARGUMENT;
    if (m->family->backs) return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "%s: a %s has no latents, it turns images into images: use genai_model_translate", what, m->family->name);
    return n < 1 || !a || !b ? genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "%s: %s", what, n < 1 ? "n must be at least 1" : "a pointer is NULL") : GENAI_OK;
}

/* Did training draw latents to N(0,1)? Not codes, not those of a plain autoencoder. What was fitted to sample from is another matter. */
static int genai__normal_prior(const genai_model *m) { return (m->desc.beta >= 0 || m->loss) && !m->family->latents; }

/* Latents number first, first + 1, ... to sample from: of the prior, or of what was fitted. */
static genai_result genai__model_latents(genai_model *m, uint64_t seed, size_t first, int n, float *z) {
    size_t size = (size_t)m->desc.latent;
    if (m->family->latents) return m->family->latents(m, seed, first, n, z);
    for (int i = 0; i < n; i++) {
        genai__normal(m->ctx, 0, GENAI__STREAM_SAMPLE, seed, (uint32_t)(first + (size_t)i), size, z + (size_t)i * size);
        if (m->extra[GENAI__SAMPLER_MEAN]) genai__sampler_apply(m, seed, (uint32_t)(first + (size_t)i), z + (size_t)i * size);
    }
    return GENAI_OK;
}

GENAI_API genai_result genai_model_latents(genai_model *m, uint64_t seed, int n, float *z) {
    genai_result result = genai__model_check(m, "genai_model_latents", n, z, z);
    for (int i = 0; i < n && !result; i += GENAI__PORTION)
        result = genai__model_latents(m, seed, (size_t)i, genai__portion(i, n), z + (size_t)i * (size_t)m->desc.latent);
    return result;
}


GENAI_API genai_result genai_model_sample(genai_model *m, uint64_t seed, int n, const int *labels, float *out) {
    genai_result result = genai__model_check(m, "genai_model_sample", n, out, out);
    int          in_turn[GENAI__PORTION], i, j;
    if (!result && labels) result = genai__model_labels(m, "genai_model_sample", n, labels);
    for (i = 0; i < n && !result; i += GENAI__PORTION) {
        float *z = genai__model_scratch(m, (size_t)GENAI__PORTION * (size_t)m->desc.latent);
        result = z ? genai__model_latents(m, seed, (size_t)i, genai__portion(i, n), z) : GENAI_ERROR_MEMORY;
        for (j = 0; j < GENAI__PORTION && m->desc.classes; j++) in_turn[j] = (i + j) % m->desc.classes;
        if (!result) result = genai__model_paint(m, genai__portion(i, n), z, !m->desc.classes ? NULL : labels ? labels + i : in_turn, out + (size_t)i * genai__pixels(m));
    }
    return result;
}


static genai_result genai__only_units(genai_model *m, const char *what) {
    return m->extra[GENAI__UNITS] ? GENAI_OK : genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "%s: a %s isn't made of Boltzmann machines: use family rbm or dbn", what, m->family->name);
}
GENAI_API genai_result genai_model_free_energy(genai_model *m, int n, const float *images, double *energy) {
    GENAI__TRY(genai__model_check(m, "genai_model_free_energy", n, images, energy));
    GENAI__TRY(genai__only_units(m, "genai_model_free_energy"));
    genai_result result = GENAI_OK;
    for (int i = 0; i < n && !result; i++) {
        genai__quiet q = genai__quiet_begin(m->ctx);
        energy[i] = 0;
        result = genai__stack_nll(m, genai__model_input(m, 1, images + (size_t)i * genai__pixels(m)), (size_t)i, &energy[i]);
        genai__quiet_end(m->ctx, q);
    }
    return result;
}
GENAI_API genai_result genai_model_log_partition(genai_model *m, const genai_partition_desc *desc, genai_partition *out) {
    genai_partition_desc d = GENAI__ZEROED;
    GENAI__TRY(genai__model_check(m, "genai_model_log_partition", 1, out, out));
    GENAI__TRY(genai__only_units(m, "genai_model_log_partition"));
    if (desc) d = *desc;
    if (!d.runs) d.runs = 100;
    if (!d.steps) d.steps = 14500;
    if (!d.burn) d.burn = 1000;
    memset(out, 0, sizeof *out);
    if (d.runs < 2 || d.runs > 10000 || d.steps < 29 || d.burn < 1)
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "genai_model_log_partition: runs %d must be from 2 to 10000, steps %d at least 29, burn %d at least 1", d.runs, d.steps, d.burn);
    genai__quiet q = genai__quiet_begin(m->ctx);
    uint64_t     mode = genai__fp_enter();
    genai_result result = genai__partition(m, &d, out);
    genai__fp_leave(mode);
    genai__quiet_end(m->ctx, q);
    return result;
}
GENAI_API genai_net *genai_model_classifier(genai_model *m, int classes) {
    genai__text    t = {m ? m->ctx : NULL, NULL, 0, 0, 0};
    genai_net     *net = NULL;
    if (!m || genai__only_units(m, "genai_model_classifier")) return NULL;
    genai__stack_follow(m);
    genai__stack_text(m, GENAI__ENCODER, &t);
    genai__text_format(&t, " | dense %d", classes);
    genai_net_desc d = genai__model_net_desc(m, GENAI__ENCODER, "classifier");
    d.text = t.p;
    if (!t.failed) net = genai_net_create(m->ctx, &d);
    for (int i = 0; net && i < m->net[GENAI__ENCODER]->parameters; i++)
        memcpy(net->tensor[i].data, m->net[GENAI__ENCODER]->tensor[i].data, net->tensor[i].count * sizeof(float));
    genai__text_free(&t);
    m->ctx->changes++;
    return net;
}

static genai_result genai__encode(genai_model *m, int n, const float *images, const int *labels, float *z) { /* one portion */
    const int *was = m->labels;
    if (!m->family->encode)
        return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "a %s can't encode images, it has no encoder: use family vae, vaegan, aae, vqvae, rbm or dbn", m->family->name);
    genai__quiet q = genai__quiet_begin(m->ctx);
    m->labels = labels;
    genai_result result = genai__values_of(m->ctx, m->family->encode(m, genai__model_input(m, n, images)), z);
    m->labels = was;
    genai__quiet_end(m->ctx, q);
    return result;
}

/* From images or latents, to images or else latents. */
static genai_result genai__model_turn(genai_model *m, const char *what, int n, const float *images, const float *z, const int *labels, float *out, float *codes) {
    GENAI__TRY(genai__model_check(m, what, n, images ? images : z, out ? out : codes));
    genai_result result = genai__model_labels(m, what, n, labels);
    for (int i = 0; i < n && !result; i += GENAI__PORTION) {
        int          part = genai__portion(i, n);
        size_t       pixel = (size_t)i * genai__pixels(m), latent = (size_t)i * (size_t)m->desc.latent;
        const int   *as = labels ? labels + i : NULL;
        float       *to = codes ? codes + latent : images ? genai__model_scratch(m, (size_t)GENAI__PORTION * (size_t)m->desc.latent) : NULL;
        const float *from = images ? to : z + latent;
        if (images) result = to ? genai__encode(m, part, images + pixel, as, to) : GENAI_ERROR_MEMORY;
        if (!result && out) result = genai__model_paint(m, part, from, as, out + pixel);
    }
    return result;
}

GENAI_API genai_result genai_model_decode(genai_model *m, int n, const float *z, const int *labels, float *images) {
    return genai__model_turn(m, "genai_model_decode", n, NULL, z, labels, images, NULL);
}
GENAI_API genai_result genai_model_encode(genai_model *m, int n, const float *images, const int *labels, float *z) {
    return genai__model_turn(m, "genai_model_encode", n, images, NULL, labels, NULL, z);
}
GENAI_API genai_result genai_model_reconstruct(genai_model *m, int n, const float *images, const int *labels, float *out) {
    return genai__model_turn(m, "genai_model_reconstruct", n, images, NULL, labels, out, NULL);
}

/* Fills q->x with latents of the data, in the order of its first epoch. */
static genai_result genai__sampler_encode(genai_model *m, genai_dataset *data, genai__mixture *q) {
    size_t       size = (size_t)m->desc.latent, pixels = genai__pixels(m), i, k;
    float       *images = (float *)genai__alloc(m->ctx, GENAI__PORTION * (pixels + size), sizeof *images), *z;
    int          labels[GENAI__PORTION];
    genai_result result = images ? GENAI_OK : GENAI_ERROR_MEMORY;
    z = images ? images + GENAI__PORTION * pixels : NULL;
    for (i = 0; i < q->n && !result; i += GENAI__PORTION) {
        int n = q->n - i < GENAI__PORTION ? (int)(q->n - i) : GENAI__PORTION;
        result = genai_dataset_batch(data, 0, i, n, images, labels);
        if (!result) result = genai__model_labels(m, "genai_model_fit_sampler", n, labels);
        if (!result) {
            genai__quiet  quiet = genai__quiet_begin(m->ctx);
            genai_tensor *x = genai__binarised(m, genai__model_input(m, n, images), 0), *mean, *log_var;
            result = genai__values_of(m->ctx, x ? genai__posterior_draw(m, x, i, &mean, &log_var) : NULL, z);
            genai__quiet_end(m->ctx, quiet);
        }
        for (k = 0; k < (size_t)n * size && !result; k++) {
            q->x[i * size + k] = (double)z[k];
            if (!genai__finite(z[k])) result = genai__fail(m->ctx, GENAI_ERROR_NONFINITE, "genai_model_fit_sampler: a latent of image %zu isn't finite", i + k / size);
        }
    }
    genai__free(m->ctx, images);
    return result;
}

GENAI_API genai_result genai_model_fit_sampler(genai_model *m, genai_dataset *data, const char *kind, int components) {
    genai__mixture q = GENAI__ZEROED;
    genai_result   result = GENAI_OK;
    if (!m) return GENAI_ERROR_ARGUMENT;
    int prior = kind && !strcmp(kind, "prior");
    if (!kind || (!prior && strcmp(kind, "gaussian") && strcmp(kind, "mixture")) || components < 0 || components > GENAI__SAMPLER_MOST)
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "genai_model_fit_sampler: kind '%.40s' must be prior, gaussian or mixture, components %d from 0 to %d",
                           kind ? kind : "NULL", components, GENAI__SAMPLER_MOST);
    if (!m->desc.sampler) return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "a %s has its own prior, and no other sampler", m->family->name);
    q.z = m->desc.latent;
    if (!prior) {
        if (!data) return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "genai_model_fit_sampler: data is NULL");
        genai_dataset_info info = genai_dataset_describe(data);
        GENAI__TRY(genai__data_check(m, "genai_model_fit_sampler", data));
        if (q.z > GENAI__SAMPLER_MOST)
            return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "genai_model_fit_sampler: covariances of %d latents are too large, %d is the most", q.z, GENAI__SAMPLER_MOST);
        q.n = info.count < GENAI__MIXTURE_IMAGES ? info.count : GENAI__MIXTURE_IMAGES;
        int few = (int)genai__smaller(q.n / ((size_t)q.z + 1), GENAI__MIXTURE_SIZE / ((size_t)q.z * (size_t)q.z));
        q.k = !strcmp(kind, "gaussian") ? 1 : components ? components : few < 1 ? 1 : few < m->desc.components ? few : m->desc.components;
        if ((size_t)q.k > q.n) q.k = (int)q.n;
    }
    char *copy = genai__copy_text(m->ctx, kind, strlen(kind));
    if (!copy) return GENAI_ERROR_MEMORY;
    size_t z = (size_t)q.z;
    size_t k = (size_t)q.k;
    if (!prior) {
        q.x = (double *)genai__alloc(m->ctx, q.n * (z + k + 1) + k * (3 * z + 2 * z * z + 2), sizeof *q.x);
        if (q.x) {
            q.share = q.x + q.n * z;
            q.likelihood = q.share + q.n * k;
            q.weight = q.likelihood + q.n;
            q.log_scale = q.weight + k;
            q.mean = q.log_scale + k;
            q.base = q.mean + k * z;
            q.spare = q.base + k * z;
            q.factor = q.spare + k * z;
            q.inverse = q.factor + k * z * z;
        } else result = GENAI_ERROR_MEMORY;
        if (!result) result = genai__sampler_encode(m, data, &q);
        if (!result) genai__mixture_run(m->ctx, &q);
    }
    if (!result) result = genai__sampler_make(m, q.k);
    if (!result) {
        for (size_t i = 0; i < k; i++) m->extra[GENAI__SAMPLER_WEIGHT]->data[i] = (float)q.weight[i];
        for (size_t i = 0; i < k * z; i++) m->extra[GENAI__SAMPLER_MEAN]->data[i] = (float)q.mean[i];
        for (size_t i = 0; i < k * z * z; i++) m->extra[GENAI__SAMPLER_FACTOR]->data[i] = i % z > i / z % z ? 0 : (float)q.factor[i];
        genai__free(m->ctx, m->desc.sampler); /* may be what `kind` points to */
        m->desc.sampler = copy;
        if (components) m->desc.components = components;
    } else genai__free(m->ctx, copy);
    genai__free(m->ctx, q.x);
    return result;
}

GENAI_API genai_result genai_model_translate(genai_model *m, int n, const float *images, int back, float *out) {
    genai_result result = GENAI_OK;
    if (!m) return GENAI_ERROR_ARGUMENT;
    if (n < 1 || !images || !out) return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "genai_model_translate: %s", n < 1 ? "n must be at least 1" : "a pointer is NULL");
    if (m->family->backs < (back ? 2 : 1))
        return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, m->family->backs ? "a %s has learned one way only: use cycle" : "a %s can't translate images: use translate or cycle",
                           m->family->name);
    for (int i = 0; i < n && !result; i += GENAI__PORTION) {
        genai__quiet  q = genai__quiet_begin(m->ctx);
        genai_tensor *x = genai__model_input(m, genai__portion(i, n), images + (size_t)i * genai__pixels(m));
        genai_tensor *y = genai__forward(m, genai__best(m, back ? GENAI__GENERATOR_BACK : GENAI__GENERATOR), x, GENAI_EVAL);
        y = genai_clamp(m->signed_range ? genai_scale(y, 0.5f, 0.5f) : y, 0, 1);
        result = genai__values_of(m->ctx, y, out + (size_t)i * genai__pixels(m));
        genai__quiet_end(m->ctx, q);
    }
    return result;
}

/* --- interpolation --- */
/* sin x for x in [0, pi], in double by + - * / only, so that the bits are the same with every C library. */
static double genai__sine(double x) {
    const double half = 1.57079632679489661923;
    double       term, sum;
    if (x > half) x = 2 * half - x;
    term = sum = x;
    for (int i = 2; i < 26; i += 2) {
        term *= -x * x / ((double)i * (double)(i + 1));
        sum += term;
    }
    return sum;
}

/* The angle whose half has sine s and cosine c: halved until the series of arcsin converges at once. */
static double genai__angle(double s, double c) {
    double factor = 2, q, term, sum;
    for (int i = 0; i < 8; i++) {
        c = sqrt(0.5 * (1 + c));
        s = s / (2 * c); /* sin(x/2) = sin x / (2 cos(x/2)) */
        factor *= 2;
    }
    q = s * s;
    term = sum = s;
    for (int i = 1; i < 8; i++) { /* arcsin s = s + s^3/6 + 3 s^5/40 + ... */
        term *= q * (double)(2 * i - 1) / (double)(2 * i);
        sum += term / (double)(2 * i + 1);
    }
    return factor * sum;
}

/* Weights of a and b at t on the great circle between them (Shoemake 1985); a straight line where there is no such circle. */
static void genai__slerp_weights(const float *a, const float *b, size_t n, double t, double *wa, double *wb) {
    double aa = 0, bb = 0, apart = 0, together = 0, angle, sine;
    for (size_t i = 0; i < n; i++) {
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    aa = sqrt(aa);
    bb = sqrt(bb);
    *wa = 1 - t;
    *wb = t;
    if (!(aa > 0) || !(bb > 0)) return;
    for (size_t i = 0; i < n; i++) { /* chords of the two unit vectors: 2 sin and 2 cos of half the angle */
        double p = (double)a[i] / aa, q = (double)b[i] / bb;
        apart += (p - q) * (p - q);
        together += (p + q) * (p + q);
    }
    angle = genai__angle(0.5 * sqrt(apart), 0.5 * sqrt(together));
    sine = sqrt(apart * together) * 0.5; /* sin x = 2 sin(x/2) cos(x/2) */
    if (sine < 1e-6) return;
    *wa = genai__sine((1 - t) * angle) / sine;
    *wb = genai__sine(t * angle) / sine;
}

GENAI_API genai_result genai_model_interpolate(genai_model *m, const float *a, const float *b, int label, int n, float *out) {
    genai_result result = genai__model_check(m, "genai_model_interpolate", n, a, b);
    int          labels[GENAI__PORTION], i, j;
    if (!result && !out) result = genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "genai_model_interpolate: a pointer is NULL");
    if (!result) result = genai__model_labels(m, "genai_model_interpolate", 1, &label);
    if (result) return result;
    for (i = 0; i < GENAI__PORTION; i++) labels[i] = label;
    size_t z = (size_t)m->desc.latent;
    for (i = 0; i < n && !result; i += GENAI__PORTION) {
        float   *way = genai__model_scratch(m, (size_t)GENAI__PORTION * z);
        uint64_t mode = genai__fp_enter();
        for (j = 0; way && j < genai__portion(i, n); j++) {
            double t = n > 1 ? (double)(i + j) / (double)(n - 1) : 0, wa = 1 - t, wb = t;
            if (genai__normal_prior(m) && !m->extra[GENAI__SAMPLER_MEAN]) genai__slerp_weights(a, b, z, t, &wa, &wb);
            if (i + j == 0) { wa = 1; wb = 0; }
            else if (i + j == n - 1) { wa = 0; wb = 1; }
            for (size_t k = 0; k < z; k++) way[(size_t)j * z + k] = (float)(wa * (double)a[k] + wb * (double)b[k]);
        }
        genai__fp_leave(mode);
        result = way ? genai__model_paint(m, genai__portion(i, n), way, m->desc.classes ? labels : NULL, out + (size_t)i * genai__pixels(m)) : GENAI_ERROR_MEMORY;
    }
    return result;
}

GENAI_API genai_result genai_model_sample_grid(genai_model *m, const char *path, int rows, int columns) {
    if (!m) return GENAI_ERROR_ARGUMENT;
    if (!path || rows < 1 || columns < 1 || rows > 1024 || columns > 1024)
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "genai_model_sample_grid: needs a path, and 1 to 1024 rows and columns");
    int n = rows * columns;
    float *images = (float *)genai__alloc(m->ctx, (size_t)n * genai__pixels(m), sizeof *images);
    if (!images) return GENAI_ERROR_MEMORY;
    genai_result result = genai_model_sample(m, 0, n, NULL, images);
    if (!result) result = genai_image_save_grid(m->ctx, path, n, columns, m->dim[2], m->dim[1], m->dim[3], images);
    genai__free(m->ctx, images);
    return result;
}

/* --- save and load --- */
typedef struct genai__entries { /* of a file that is to be written or read */
    genai__entry *entry;
    size_t        n;
    char         *name; /* where that of the next optimiser state goes */
} genai__entries;

#define GENAI__STATE_NAMES 4096 /* bytes that the names of all optimiser states take at most */

static void genai__entries_add(genai__entries *e, const char *name, int ndim, const int *dim, float *data, size_t count) {
    const genai__entry entry = {name, ndim, {dim[0], dim[1], dim[2], dim[3]}, data, count};
    if (e->entry) e->entry[e->n] = entry;
    e->n++;
}
static void genai__entries_tensor(genai__entries *e, const genai_tensor *t) {
    if (t) genai__entries_add(e, t->name, t->ndim, t->dim, t->data, t->count);
}

/* Every tensor under its name. Only counts where there is no memory yet. */
static void genai__entries_fill(genai__entries *e, const genai_model *m, int checkpoint) {
    e->n = 0;
    for (int role = 0; role < GENAI__ROLES; role++)
        for (int average = 0; average < 2; average++) {
            genai_net *net = average ? m->average[role] : m->net[role];
            for (int i = 0; net && i < genai__net_tensor_count(net); i++) genai__entries_tensor(e, genai__net_tensor(net, i));
        }
    for (int i = 0; i < GENAI__EXTRAS; i++) genai__entries_tensor(e, m->extra[i]);
    for (int role = 0; role < GENAI__ROLES && checkpoint; role++)
        for (int group = 0; m->optimizer[role] && group < m->optimizer[role]->groups; group++) {
            float *moment[2];
            size_t count = genai__optimizer_state(m->optimizer[role], group, &moment[0], &moment[1]);
            int    dim[4] = {(int)count, 1, 1, 1}, of = group ? GENAI__DECODER : role; /* groups are nets: of the role, then the decoder */
            for (int second = 0; second < 2; second++) {
                if (!count || !moment[second]) continue;
                genai__entries_add(e, e->name, 1, dim, moment[second], count);
                const genai__group *g = &m->optimizer[role]->group[group];
                if (e->name) e->name += sprintf(e->name, "optimizer.%s.%s", g->gradient ? genai__role_names[of] : g->tensor->name, second ? "v" : "m") + 1;
            }
        }
}

/* Those of a model, the entries to be given back with genai__free; without memory entry is NULL. */
static genai__entries genai__model_entries(const genai_model *m, int checkpoint) {
    genai__entries e = GENAI__ZEROED;
    genai__entries_fill(&e, m, checkpoint);
    e.entry = (genai__entry *)genai__alloc(m->ctx, (e.n + 1) * sizeof *e.entry + GENAI__STATE_NAMES, 1);
    e.name = e.entry ? (char *)(e.entry + e.n + 1) : NULL;
    if (e.entry) genai__entries_fill(&e, m, checkpoint);
    return e;
}

typedef struct genai__metadata { /* pairs whose texts lie in one block that doesn't move */
    genai__pair pair[GENAI__COUNT(genai__fields) + 16];
    size_t      n;
    char        text[4096];
    size_t      used;
} genai__metadata;

static void genai__metadata_add(genai__metadata *md, const char *key, const char *value) { /* value NULL: it was written after the key */
    char *to = md->text + md->used;
    md->pair[md->n].key = to;
    md->used += (size_t)snprintf(to, sizeof md->text - md->used, "genai.%s", key) + 1;
    md->pair[md->n++].value = value;
}
static void genai__metadata_number(genai__metadata *md, const char *key, uint64_t value) {
    genai__metadata_add(md, key, NULL);
    char *to = md->text + md->used;
    md->pair[md->n - 1].value = to;
    md->used += (size_t)snprintf(to, sizeof md->text - md->used, "%llu", (unsigned long long)value) + 1;
}

/* What is counted while a model learns, all longs: files have the first, checkpoints all. */
static const struct { const char *key; size_t at; } genai__counts[] = {
    {"steps", offsetof(genai_model, steps)}, {"skipped", offsetof(genai_model, skipped)},
    {"skipped_in_row", offsetof(genai_model, skipped_in_row)}, {"epoch", offsetof(genai_model, epoch)}};
static long  *genai__count_at(genai_model *m, size_t i) { return (long *)(void *)((char *)m + genai__counts[i].at); }
static size_t genai__count_of(int checkpoint) { return checkpoint ? GENAI__COUNT(genai__counts) : 1; }

static void genai__model_metadata(genai_model *m, int checkpoint, genai__metadata *md) {
    md->n = md->used = 0;
    genai__metadata_add(md, "version", GENAI_VERSION);
    genai__metadata_add(md, "family", m->family->name);
    for (size_t i = 0; i < GENAI__COUNT(genai__fields); i++) {
        const genai__field *f = &genai__fields[i];
        char                number[32];
        const char         *value = genai__field_text(f, &m->desc, number);
        if (!value || !genai__field_fits(f, m->family->name)) continue;
        genai__metadata_add(md, f->key, value);
        if (value == number) {
            md->pair[md->n - 1].value = strcpy(md->text + md->used, number);
            md->used += strlen(number) + 1;
        }
    }
    for (size_t i = 0; i < genai__count_of(checkpoint); i++) genai__metadata_number(md, genai__counts[i].key, (uint64_t)*genai__count_at(m, i));
    genai__metadata_number(md, "seed", m->seed);
    if (!checkpoint) return;
    genai__metadata_number(md, "checkpoint", 1);
    genai__metadata_number(md, "position", m->position);
    for (int role = 0; role < GENAI__ROLES; role++)
        if (m->optimizer[role]) {
            char key[40];
            sprintf(key, "optimizer.%s.t", genai__role_names[role]);
            genai__metadata_number(md, key, m->optimizer[role]->t);
        }
}

static genai_result genai__model_write(genai_model *m, const char *path, int checkpoint) {
    genai__stack_follow(m);
    genai__entries   e = genai__model_entries(m, checkpoint);
    genai__metadata *md = (genai__metadata *)genai__alloc(m->ctx, 1, sizeof *md);
    genai_result     result = GENAI_ERROR_MEMORY;
    if (e.entry && md) {
        genai__model_metadata(m, checkpoint, md);
        result = genai__safetensors_write(m->ctx, path, e.n, e.entry, md->n, md->pair);
    }
    genai__free(m->ctx, md);
    genai__free(m->ctx, e.entry);
    return result;
}

GENAI_API genai_result genai_model_save(genai_model *m, const char *path) { return m ? genai__model_write(m, path, 0) : GENAI_ERROR_ARGUMENT; }
GENAI_API genai_result genai_model_save_checkpoint(genai_model *m, const char *path) { return m ? genai__model_write(m, path, 1) : GENAI_ERROR_ARGUMENT; }

/* A whole number out of the metadata, in digits only. */
static genai_result genai__metadata_read(genai_ctx *ctx, const char *path, const genai__safetensors *file, const char *key, uint64_t most, uint64_t *value) {
    char name[64];
    sprintf(name, "genai.%.50s", key);
    const char *p = genai__safetensors_get(file, name);
    *value = 0;
    if (!p || !*p) return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: its metadata has no %s", path, name);
    for (; genai__is_digit(*p); p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (*value > (most - digit) / 10) break;
        *value = *value * 10 + digit;
    }
    return *p ? genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: %s in its metadata is no whole number up to %llu", path, name, (unsigned long long)most) : GENAI_OK;
}

/* The desc and the preset's row that a file's metadata speak of. */
static genai_result genai__model_read_desc(genai_ctx *ctx, const char *path, const genai__safetensors *file, genai_model_desc *d, const genai__preset **row) {
    const char *version = genai__safetensors_get(file, "genai.version"), *family = genai__safetensors_get(file, "genai.family");
    double      major = 0;
    memset(d, 0, sizeof *d);
    if (!version || !family)
        return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: is a safetensors file, but not of a genai model (its metadata has no genai.version and genai.family)", path);
    for (; genai__is_digit(*version) && major < 1e6; version++) major = major * 10 + (*version - '0');
    if (major > GENAI_VERSION_MAJOR)
        return genai__fail(ctx, GENAI_ERROR_UNSUPPORTED, "%s: was written by genai %.20s, which is newer than this " GENAI_VERSION, path,
                           genai__safetensors_get(file, "genai.version"));
    if (!genai__family_of(family))
        return genai__fail(ctx, GENAI_ERROR_UNSUPPORTED, "%s: its model is of family '%.40s', which genai " GENAI_VERSION " doesn't know", path, family);
    for (size_t i = 0; i < GENAI__COUNT(genai__fields); i++) {
        const genai__field *f = &genai__fields[i];
        char                name[64];
        sprintf(name, "genai.%.50s", f->key);
        const char *value = genai__safetensors_get(file, name);
        if (!genai__field_fits(f, family)) continue;
        if (!value && (genai__field_is_net(f) || f->offset <= offsetof(genai_model_desc, channels)))
            return genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: its metadata has no %s", path, name);
        if (!value) continue; /* a setting newer than the file: not set */
        if (genai__field_set(ctx, f, d, value)) return genai__result_of(ctx);
    }
    *row = genai__preset_of(d->preset);
    if (!*row || strcmp((*row)->info.family, family)) *row = genai__preset_of(family); /* every value is in the file, so any row of the family will do */
    return GENAI_OK;
}

/* Before memory is taken for a net: are its weights in the file? An edited text must not be able to ask for anything. */
static genai_result genai__model_measure(const genai_model *m, const char *path, const genai__safetensors *file) {
    genai_ctx   *ctx = m->ctx;
    size_t       have = 0, i;
    genai_result result = GENAI_OK;
    for (i = 0; i < file->n; i++) have += file->entries[i].count;
    for (int role = 0; role < GENAI__ROLES && !result; role++) {
        if (!(m->family->roles >> role & 1)) continue;
        genai_net_desc d = genai__model_net_desc(m, role, genai__role_names[role]);
        genai_net     *net = NULL;
        result = genai__net_read(ctx, &d, &net);
        if (!result) {
            genai__net_layout at = genai__net_layout_of(net);
            if (!at.fits || at.count > have)
                result = genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: the text of its %s wants %zu weights, but the file has %zu values in all", path, d.name, at.count, have);
        }
        genai_net_destroy(net);
    }
    return result;
}

static const char *genai__entry_shape(char *to, const genai__entry *e) { /* to holds 64 characters */
    size_t n = 0;
    to[0] = 0;
    for (int i = 0; i < e->ndim; i++) n += (size_t)snprintf(to + n, 64 - n, i ? ",%d" : "%d", e->dim[i]);
    return to;
}

/* Copies the tensors of the file into the model's; both must have the same names and shapes. */
static genai_result genai__model_fill(genai_model *m, const char *path, const genai__safetensors *file, int checkpoint) {
    genai_ctx     *ctx = m->ctx;
    genai__entries all = genai__model_entries(m, checkpoint);
    genai_result   result = all.entry ? GENAI_OK : GENAI_ERROR_MEMORY;
    char           want[64], have[64];
    size_t         i, k;
    for (i = 0; i < all.n && !result; i++) {
        const genai__entry *to = &all.entry[i], *e = genai__safetensors_find(file, to->name);
        if (!e) result = genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: tensor %s is missing", path, to->name);
        else if (e->ndim != to->ndim || memcmp(e->dim, to->dim, (size_t)e->ndim * sizeof(int)))
            result = genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: tensor %s is [%s], but by the file's own text it should be [%s]", path, to->name,
                                 genai__entry_shape(have, e), genai__entry_shape(want, to));
        else result = genai__entry_finite(ctx, path, e);
        if (!result && e->count) memcpy(to->data, e->data, e->count * sizeof(float));
    }
    for (i = 0; i < file->n && !result && file->n != all.n; i++) {
        for (k = 0; k < all.n && strcmp(all.entry[k].name, file->entries[i].name); k++) {}
        if (k == all.n) result = genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: there is a tensor %.80s, which this model doesn't have", path, file->entries[i].name);
    }
    genai__free(ctx, all.entry);
    return result;
}

static genai_result genai__model_read_state(genai_model *m, const char *path, const genai__safetensors *file, int checkpoint) {
    const uint64_t most = 2147483647;
    uint64_t       value;
    for (size_t i = 0; i < genai__count_of(checkpoint); i++) {
        GENAI__TRY(genai__metadata_read(m->ctx, path, file, genai__counts[i].key, most, &value));
        *genai__count_at(m, i) = (long)value;
    }
    if (!checkpoint) return GENAI_OK;
    m->resumed = 1;
    GENAI__TRY(genai__metadata_read(m->ctx, path, file, "seed", ~(uint64_t)0, &m->seed));
    GENAI__TRY(genai__metadata_read(m->ctx, path, file, "position", ((size_t)-1) >> 1, &value));
    m->position = (size_t)value;
    for (int role = 0; role < GENAI__ROLES; role++)
        if (m->optimizer[role]) {
            char key[40];
            sprintf(key, "optimizer.%s.t", genai__role_names[role]);
            GENAI__TRY(genai__metadata_read(m->ctx, path, file, key, most, &m->optimizer[role]->t));
        }
    return GENAI_OK;
}

/* Makes room for a sampler, if the file has one. */
static genai_result genai__sampler_read(genai_model *m, const char *path, const genai__safetensors *file) {
    const genai__entry *mean = genai__safetensors_find(file, genai__extra_names[GENAI__SAMPLER_MEAN]);
    const genai__entry *factor = genai__safetensors_find(file, genai__extra_names[GENAI__SAMPLER_FACTOR]);
    if (!mean || !m->desc.sampler) return GENAI_OK;
    if (!factor || mean->ndim != 2 || factor->ndim != 3 || mean->dim[0] < 1 || mean->dim[0] > GENAI__SAMPLER_MOST || mean->dim[1] != m->desc.latent ||
        factor->dim[0] != mean->dim[0] || factor->dim[1] != m->desc.latent || factor->dim[2] != m->desc.latent)
        return genai__fail(m->ctx, GENAI_ERROR_FORMAT, "%s: the tensors of its sampler don't belong together", path);
    return genai__sampler_make(m, mean->dim[0]);
}

GENAI_API genai_model *genai_model_load(genai_ctx *ctx, const char *path) {
    genai__safetensors   file;
    genai_model_desc     d;
    const genai__preset *row = NULL;
    genai_model         *m = NULL;
    if (!ctx || genai__safetensors_read(ctx, path, &file)) return NULL;
    genai_result result = genai__model_read_desc(ctx, path, &file, &d, &row);
    if (!result) {
        int checkpoint = genai__safetensors_get(&file, "genai.checkpoint") != NULL;
        m = genai__model_begin(ctx, row, &d);
        result = m ? genai__model_measure(m, path, &file) : genai__result_of(ctx);
        if (!result) result = genai__model_make(m);
        if (!result) result = genai__model_read_state(m, path, &file, checkpoint);
        if (!result) result = genai__sampler_read(m, path, &file);
        if (!result) result = genai__model_fill(m, path, &file, checkpoint);
    }
    genai__safetensors_free(ctx, &file);
    if (result) return genai_model_destroy(m), GENAI__NULL;
    return m;
}

/* ====================================================================================================================
 * >>edit (private)
 * What a trained model does with a user's images: walks through latents, and the search for latents whose image agrees with
 * what is known of an image. The search is the same for all families; those with an encoder begin nearer.
 * ================================================================================================================= */
GENAI_API genai_result genai_model_traverse(genai_model *m, const float *z, int label, int dimension, float low, float high, int n, float *out) {
    genai_result result = genai__model_check(m, "genai_model_traverse", n, z, out);
    if (!result && (dimension < 0 || dimension >= m->desc.latent))
        result = genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "genai_model_traverse: latent %d, but there are 0 to %d", dimension, m->desc.latent - 1);
    if (result) return result;
    float *way = (float *)genai__alloc(m->ctx, (size_t)n * (size_t)m->desc.latent, sizeof *way);
    int *labels = (int *)genai__alloc(m->ctx, (size_t)n, sizeof *labels);
    for (int i = 0; i < n && way && labels; i++) {
        memcpy(way + (size_t)i * (size_t)m->desc.latent, z, (size_t)m->desc.latent * sizeof *z);
        way[(size_t)i * (size_t)m->desc.latent + (size_t)dimension] = n > 1 ? low + (high - low) * ((float)i / (float)(n - 1)) : low;
        labels[i] = label;
    }
    result = way && labels ? genai_model_decode(m, n, way, labels, out) : GENAI_ERROR_MEMORY;
    genai__free(m->ctx, way);
    genai__free(m->ctx, labels);
    return result;
}

GENAI_API genai_result genai_model_direction(genai_model *m, int n, const float *images, const int *labels, int from, int to, float *z) {
    genai_result result = genai__model_check(m, "genai_model_direction", n, images, z);
    int          i, count[2] = {0, 0};
    if (!result && !labels) result = genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "genai_model_direction: labels are NULL");
    if (result) return result;
    size_t latent = (size_t)m->desc.latent;
    for (i = 0; i < n; i++) {
        count[0] += labels[i] == from;
        count[1] += labels[i] == to;
    }
    if (!count[0] || !count[1] || from == to)
        return genai__fail(m->ctx, GENAI_ERROR_DATA, "genai_model_direction: of classes %d and %d there are %d and %d images", from, to, count[0], count[1]);
    float *each = (float *)genai__alloc(m->ctx, (size_t)n * latent, sizeof *each);
    if (!each) return GENAI_ERROR_MEMORY;
    result = m->family->encode ? genai_model_encode(m, n, images, labels, each) : genai_model_refine(m, n, images, labels, NULL, each);
    for (size_t k = 0; k < latent && !result; k++) {
        double sum[2] = {0, 0};
        for (i = 0; i < n; i++) {
            if (labels[i] == from) sum[0] += (double)each[(size_t)i * latent + k];
            if (labels[i] == to) sum[1] += (double)each[(size_t)i * latent + k];
        }
        z[k] = (float)(sum[1] / count[1] - sum[0] / count[0]);
    }
    genai__free(m->ctx, each);
    return result;
}

/* --- refinement --- */
typedef struct genai__refine {
    genai_model      *model;
    genai_refine_desc desc;    /* resolved */
    float            *weight;  /* [H,W,C]: the mask                                                                  */
    float            *made;    /* a portion of images                                                                */
    float            *known;   /* the same, of the user's, grey where nothing is known: hidden values may be anything    */
    genai_tensor     *z;
    genai_optimizer  *adam;
} genai__refine;

/* The samples that are nearest in what is known: for each image as many as it has rows. */
static genai_result genai__refine_start(genai__refine *r, int n, const int *labels, float *z) {
    genai_model *m = r->model;
    size_t       pixels = genai__pixels(m), latent = (size_t)m->desc.latent, k;
    int          rows = r->desc.completions, i, j, as[GENAI__PORTION];
    double       best[GENAI__PORTION];
    genai_result result = GENAI_OK;
    for (i = 0; i < n; i++) best[i] = 1e300;
    memset(z, 0, (size_t)n * latent * sizeof *z);
    for (i = 0; i < n && !result; i += m->desc.classes ? rows : n) { /* starts of one image have its label: conditional models paint them anew for each */
        for (int first = 0; first < r->desc.starts && !result; first += GENAI__PORTION) {
            int    count = genai__portion(first, r->desc.starts), to = m->desc.classes ? i + rows : n;
            float *drawn = genai__fixed_latents(m, GENAI__STREAM_SAMPLE, r->desc.seed, (size_t)first, count);
            for (j = 0; j < GENAI__PORTION; j++) as[j] = m->desc.classes ? labels[i] : 0;
            result = drawn ? genai__model_paint(m, count, drawn, m->desc.classes ? as : NULL, r->made) : GENAI_ERROR_MEMORY;
            for (int l = i; l < to && !result; l += rows)
                for (j = 0; j < count; j++) {
                    int    at = l + rows - 1;
                    double sum = 0;
                    for (k = 0; k < pixels; k++) {
                        double d = (double)r->made[(size_t)j * pixels + k] - (double)r->known[(size_t)l * pixels + k];
                        sum += (double)r->weight[k] * (d * d);
                    }
                    if (!(sum < best[at])) continue;
                    for (; at > l && sum < best[at - 1]; at--) { /* nearest first */
                        best[at] = best[at - 1];
                        memcpy(z + (size_t)at * latent, z + (size_t)(at - 1) * latent, latent * sizeof *z);
                    }
                    best[at] = sum;
                    memcpy(z + (size_t)at * latent, drawn + (size_t)j * latent, latent * sizeof *z);
                }
        }
    }
    return result;
}

/* With encoder: what it says of the image, where what isn't known comes from the image it spoke of before (Rezende et al. 2014,
 * appendix F), grey at first. */
static genai_result genai__refine_encode(genai__refine *r, int n, const int *labels, float *z) {
    size_t       pixels = genai__pixels(r->model), k;
    genai_result result = GENAI_OK;
    for (k = 0; k < (size_t)n * pixels; k++) r->made[k] = 0.5f;
    for (int round = 0; round < (r->desc.mask ? 10 : 1) && !result; round++) {
        for (k = 0; k < (size_t)n * pixels; k++) r->made[k] = (1 - r->weight[k % pixels]) * r->made[k] + r->weight[k % pixels] * r->known[k];
        result = genai__encode(r->model, n, r->made, labels, z);
        if (!result) result = genai__model_paint(r->model, n, z, labels, r->made);
    }
    return result;
}

/* 0.5 / noise^2 sum of weight (made - x)^2, and 0.5 |z|^2 where that is the prior's; over the images too: each image's latents see their own terms only. */
static genai_tensor *genai__refine_loss(genai__refine *r, genai_tensor *z, int n) {
    genai_model *m = r->model;
    genai_ctx   *ctx = m->ctx;
    int          dim[4] = {n, m->dim[1], m->dim[2], m->dim[3]};
    genai_tensor *weight = genai_tensor_of(ctx, 4, m->dim, r->weight);
    genai_tensor *x = genai_tensor_of(ctx, 4, dim, r->known);
    genai_tensor *error = genai_mul(genai_square(genai_sub(genai__images(m, genai__decoded(m, z)), x)), weight);
    error = genai_scale(genai_sum(error, 0), 0.5f / (r->desc.noise * r->desc.noise), 0);
    return genai__normal_prior(m) ? genai_add(error, genai_scale(genai_sum(genai_square(z), 0), 0.5f, 0)) : error;
}

static genai_result genai__refine_portion(genai__refine *r, int n, const int *labels, float *z) {
    genai_model         *m = r->model;
    genai_ctx           *ctx = m->ctx;
    genai_net           *painter = genai__best(m, m->family->painter);
    genai_result         result = m->family->encode && r->desc.completions == 1 ? genai__refine_encode(r, n, labels, z) : genai__refine_start(r, n, labels, z);
    genai_optimizer_desc d = GENAI__ZEROED;
    if (result || r->desc.steps < 0) return result;
    d.lr = r->desc.lr;
    d.schedule = GENAI_SCHEDULE_COSINE;
    d.steps = r->desc.steps;
    int dim[2] = {n, m->desc.latent};
    r->z = genai_tensor_create(ctx, 2, dim);
    r->adam = genai_optimizer_create(ctx, &d);
    if (!r->z || !r->adam) result = genai__result_of(ctx);
    else {
        r->z->requires_grad = 1;
        memcpy(r->z->data, z, r->z->count * sizeof *z);
        result = genai_optimizer_add_tensor(r->adam, r->z, 1);
    }
    int trainable = genai_net_trainable(painter, 0);
    size_t mark = genai_tape_mark(ctx);
    for (int step = 0; step < r->desc.steps && !result; step++) {
        genai_tensor *loss = genai__refine_loss(r, r->z, n);
        genai_optimizer_zero(r->adam);
        result = loss ? genai__backward(loss, mark) : genai__result_of(ctx);
        if (!result) result = genai_optimizer_step(r->adam);
        genai_tape_release(ctx, mark);
    }
    genai_net_trainable(painter, trainable);
    if (!result) {
        result = genai__values_of(ctx, m->extra[GENAI__CODES] ? genai__codes_snap(m, r->z) : r->z, z);
        genai_tape_release(ctx, mark);
    }
    genai_optimizer_destroy(r->adam);
    genai_tensor_destroy(r->z);
    return result;
}

static genai_result genai__refine_begin(genai__refine *r, genai_model *m, const char *what, const genai_refine_desc *desc) {
    size_t pixels = genai__pixels(m), c = (size_t)m->dim[3], k;
    memset(r, 0, sizeof *r);
    r->model = m;
    if (desc) r->desc = *desc;
    if (!r->desc.steps) r->desc.steps = 200;
    if (r->desc.lr == 0) r->desc.lr = 0.05f;
    if (r->desc.noise == 0) r->desc.noise = r->desc.mask ? 0.5f : 0.1f;
    if (!r->desc.completions) r->desc.completions = 1;
    if (!r->desc.starts) r->desc.starts = r->desc.completions > 4 ? 64 * r->desc.completions : 256;
    if (r->desc.completions < 1 || r->desc.completions > GENAI__PORTION || r->desc.completions > r->desc.starts)
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "%s: completions %d must be from 1 to %d and not above starts, %d", what, r->desc.completions, GENAI__PORTION, r->desc.starts);
    if (r->desc.steps < -1 || !(r->desc.lr > 0 && r->desc.lr < 100) || !(r->desc.noise >= 1e-4f && r->desc.noise < 1e4f) || r->desc.starts < 0 || r->desc.starts > 1 << 20)
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "%s: steps, lr, noise or starts is out of range", what);
    r->weight = (float *)genai__alloc(m->ctx, pixels, sizeof(float));
    r->made = (float *)genai__alloc(m->ctx, GENAI__PORTION * pixels, sizeof(float));
    r->known = (float *)genai__alloc(m->ctx, GENAI__PORTION * pixels, sizeof(float));
    if (!r->weight || !r->made || !r->known) return GENAI_ERROR_MEMORY;
    for (k = 0; k < pixels; k++) {
        r->weight[k] = r->desc.mask ? r->desc.mask[k / c] : 1;
        if (!genai__in_range(r->weight[k], 0, 1)) return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "%s: the mask's value number %zu isn't from 0 to 1", what, k / c);
    }
    return GENAI_OK;
}

static void genai__refine_end(genai__refine *r) {
    genai__free(r->model->ctx, r->weight);
    genai__free(r->model->ctx, r->made);
    genai__free(r->model->ctx, r->known);
}

/* What refine, inpaint, denoise and anomaly share: the latents of each portion, and the images they make if `out` or `score` wants them. */
static genai_result genai__refine_all(genai_model *m, const char *what, int n, const float *images, const int *labels, const genai_refine_desc *desc, float *z, float *out,
                                      float *score) {
    genai__refine r;
    float        *own = NULL;
    GENAI__TRY(genai__model_check(m, what, n, images, z ? z : out ? out : score));
    GENAI__TRY(genai__model_labels(m, what, n, labels));
    size_t       pixels = genai__pixels(m);
    genai__visit visit = genai__visit_begin(m->ctx);
    genai_result result = genai__refine_begin(&r, m, what, desc);
    if (!result && !z) own = (float *)genai__alloc(m->ctx, GENAI__PORTION * (size_t)m->desc.latent, sizeof *own);
    if (!result && !z && !own) result = GENAI_ERROR_MEMORY;
    if (!result && (z || score)) r.desc.completions = 1;
    for (int i = 0, part; i < n && !result; i += part) {
        int    rows = r.desc.completions, as[GENAI__PORTION], row;
        float *latents = z ? z + (size_t)i * (size_t)m->desc.latent : own;
        part = n - i < GENAI__PORTION / rows ? n - i : GENAI__PORTION / rows;
        for (row = 0; row < part * rows; row++) {
            const float *x = images + (size_t)(i + row / rows) * pixels;
            as[row] = m->desc.classes ? labels[i + row / rows] : 0;
            for (size_t k = 0; k < pixels; k++) r.known[(size_t)row * pixels + k] = r.weight[k] > 0 ? x[k] : 0.5f;
        }
        m->labels = m->desc.classes ? as : NULL;
        if (m->extra[GENAI__UNITS] && out && r.desc.mask) result = genai__stack_fill(m, (size_t)i * (size_t)rows, row, r.known, r.weight, &r.desc, r.made);
        else {
            result = genai__refine_portion(&r, row, m->labels, latents);
            if (!result && !z) result = genai__model_paint(m, row, latents, m->labels, r.made);
        }
        m->labels = NULL;
        for (int j = 0; j < part && !result && !z; j++) {
            double sum = 0;
            for (size_t k = 0; k < pixels; k++) {
                float mean = 0, known = r.known[(size_t)(j * rows) * pixels + k], d;
                for (row = j * rows; row < (j + 1) * rows; row++) mean += r.made[(size_t)row * pixels + k];
                d = (mean /= (float)rows) - known;
                if (out) out[(size_t)(i + j) * pixels + k] = r.desc.mask ? (1 - r.weight[k]) * mean + r.weight[k] * known : mean;
                sum += (double)d * (double)d;
            }
            if (score) score[i + j] = (float)(sum / (double)pixels);
        }
    }
    genai__free(m->ctx, own);
    genai__refine_end(&r);
    genai__visit_end(m->ctx, &visit);
    return result;
}

GENAI_API genai_result genai_model_refine(genai_model *m, int n, const float *images, const int *labels, const genai_refine_desc *desc, float *z) {
    return genai__refine_all(m, "genai_model_refine", n, images, labels, desc, z, NULL, NULL);
}

GENAI_API genai_result genai_model_inpaint(genai_model *m, int n, const float *images, const int *labels, const genai_refine_desc *desc, float *out) {
    GENAI__TRY(genai__model_check(m, "genai_model_inpaint", n, images, out));
    if (!desc || !desc->mask) return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "genai_model_inpaint: there is no mask");
    return genai__refine_all(m, "genai_model_inpaint", n, images, labels, desc, NULL, out, NULL);
}

GENAI_API genai_result genai_model_denoise(genai_model *m, int n, const float *images, const int *labels, const genai_refine_desc *desc, float *out) {
    genai_refine_desc d = GENAI__ZEROED;
    if (desc) d = *desc;
    d.mask = NULL;
    return genai__refine_all(m, "genai_model_denoise", n, images, labels, &d, NULL, out, NULL);
}

GENAI_API genai_result genai_model_anomaly(genai_model *m, int n, const float *images, const int *labels, const genai_refine_desc *desc, float *score) {
    genai_refine_desc d = GENAI__ZEROED;
    if (desc) d = *desc;
    d.mask = NULL;
    if (m && !d.steps && m->family->encode) d.steps = -1;
    return genai__refine_all(m, "genai_model_anomaly", n, images, labels, &d, NULL, NULL, score);
}

/* ====================================================================================================================
 * >>fit (private)
 * The training loop. Where it stands (epoch, position in it, step) is kept in the model and saved in checkpoints; the order
 * of the data and every draw follow from the seed and these, so that a resumed training takes the same path. Limits count
 * from the model's beginning: going on with the same desc ends where the uninterrupted run would have.
 * ================================================================================================================= */
#define GENAI__GRID 8            /* sample grids are 8x8                                                              */
#define GENAI__SEEN (GENAI__GRID * GENAI__GRID) /* images that health is measured on: one portion                     */
#define GENAI__HEALTH_EVERY 250  /* steps: it costs one to two of them                                                */
#define GENAI__HEALTH_FROM 300   /* before that nothing is told                                                       */
#define GENAI__ALIKE 0.15        /* diversity below which samples are taken for all alike                             */
#define GENAI__RIGHT 0.995       /* share of images told rightly from which on, and its loss below which, a           */
#define GENAI__SURE 0.02         /* discriminator has won                                                             */
#define GENAI__ONE_CODE 1.1f     /* perplexity below which one code stands for all                                    */
#define GENAI__PAIRS 32          /* of image and reconstruction in a reconstruction grid                              */
#define GENAI__MAX_SKIPPED 100   /* steps in a row without a finite loss, then fit gives up                           */

#ifdef INCLUDE_STB_IMAGE_WRITE_H
#define GENAI__PICTURE ".png"
#else
#define GENAI__PICTURE ".pam" /* any number of channels */
#endif

typedef struct genai__fit {
    genai_model   *model;
    genai_ctx     *ctx;
    genai_dataset *data, *test;
    genai_fit_desc desc;     /* resolved */
    size_t         count;    /* images in an epoch */
    int            batch, lone; /* lone: a last batch of 1 can't be normalised and is left out */
    float         *images, *pairs; /* a batch; originals for the reconstruction grid, if wanted */
    int           *labels, classes[GENAI__PAIRS]; /* of them */
    int            shown;    /* how many of these */
    double         began, before, saved, flushed; /* times; seconds of earlier runs */
    double         rate;
    genai__text    rows, path;
    genai_progress progress;
    genai_losses   losses;
    int            seen, seen_labels[GENAI__SEEN], suspected[GENAI_TROUBLE_IGNORED + 1]; /* real images for health; how often in a row, by trouble */
    float         *samples, *real, *kl; /* pictures and health are of these; kl: NULL without posterior */
    double         spread, ends;        /* of the real images                                           */
    double         right, loss;         /* of the discriminator: running means over about 100 steps     */
} genai__fit;

static const char *genai__fit_path(genai__fit *f, const char *name) {
    f->path.length = 0;
    genai__text_add(&f->path, f->desc.out);
    genai__text_add(&f->path, "/");
    genai__text_add(&f->path, name);
    return f->path.failed ? NULL : f->path.p;
}

/* --- health: how the training fares, and what it is told when it doesn't --- */
/* What to try against a trouble, if the family has such a setting; one whose value is given, only if it isn't set. */
typedef struct genai__cure { const char *key, *text; int of, value; } genai__cure;
static const genai__cure genai__cures[] = {
    {"lr_discriminator", "a lower lr_discriminator", GENAI_TROUBLE_OVERRULED, 0},
    {"r1", "r1 1", GENAI_TROUBLE_COLLAPSED | GENAI_TROUBLE_OVERRULED, 1},
    {"augment", "augment 'translation cutout'", GENAI_TROUBLE_COLLAPSED | GENAI_TROUBLE_OVERRULED, 0},
    {"minibatch_stddev", "minibatch_stddev 1", GENAI_TROUBLE_COLLAPSED, 1},
    {"lr", "a lower lr", GENAI_TROUBLE_COLLAPSED | GENAI_TROUBLE_SATURATED, 0},
    {"clip_norm", "clip_norm 1", GENAI_TROUBLE_SATURATED, 1},
    {"beta", "a lower beta", GENAI_TROUBLE_IGNORED, 0},
    {"beta_warmup", "beta_warmup 1000", GENAI_TROUBLE_IGNORED, 1},
    {"free_bits", "free_bits 0.1", GENAI_TROUBLE_IGNORED, 1},
    {"codes", "a lower lr", GENAI_TROUBLE_IGNORED, 0},
    {"preset", "another seed", GENAI_TROUBLE_COLLAPSED | GENAI_TROUBLE_SATURATED, 0},
    {"preset", "more data", GENAI_TROUBLE_OVERRULED, 0},
};

/* Warns of a trouble once it has been seen `most` times in a row; seen 0: it wasn't this time. */
static void genai__health_suspect(genai__fit *f, int trouble, int seen, int most, const char *what) {
    const genai_model *m = f->model;
    const char        *cure[GENAI__COUNT(genai__cures)];
    char               text[300];
    size_t             i, n = 0, k = 0, length = 0;
    f->suspected[trouble] = seen ? f->suspected[trouble] + 1 : 0;
    if (f->suspected[trouble] < most || f->progress.health.told & trouble) return;
    f->progress.health.told |= trouble;
    for (i = 0; i < GENAI__COUNT(genai__cures); i++) {
        const genai__cure  *c = &genai__cures[i];
        const genai__field *field = genai__field_of(c->key);
        if (c->of & trouble && genai__field_fits(field, m->family->name) && !(c->value && genai__field_is_set(field, &m->desc))) cure[n++] = c->text;
    }
    for (; k < n; k++) length += (size_t)snprintf(text + length, sizeof text - length, "%s%s", !k ? "" : k + 1 < n ? ", " : " or ", cure[k]);
    genai__warn(f->ctx, "step %ld: %s; try %s", m->steps, what, text);
}

/* Of n rows: the variance of a value over them, in the mean of all values (-1: of one row), and the share of values at the ends. */
static double genai__health_spread(int n, size_t size, const float *x, double *ends) {
    double sum = 0;
    size_t i, j, k = 0;
    for (j = 0; j < size; j++) {
        double mean = 0, squares = 0;
        for (i = j; i < (size_t)n * size; i += size) {
            mean += (double)x[i];
            k += x[i] <= 1 / 255.0f || x[i] >= 254 / 255.0f;
        }
        mean /= n;
        for (i = j; i < (size_t)n * size; i += size) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
        sum += squares;
    }
    if (ends) *ends = (double)k / ((double)n * (double)size);
    return n > 1 ? sum / (n - 1) / (double)size : -1;
}

static genai_result genai__health_begin(genai__fit *f) {
    genai_model   *m = f->model;
    genai_health  *h = &f->progress.health;
    genai_dataset *of = f->test ? f->test : f->data;
    size_t         pixels = genai__pixels(m), count = genai_dataset_describe(of).count;
    h->balance = h->diversity = h->saturated = -1;
    h->measured = h->latents = h->active = -1;
    f->right = 0.5;
    f->loss = 2 * GENAI__LOG_2;
    for (int role = 0; role < GENAI__ROLES; role++)
        if (m->optimizer[role]) h->norm_name[h->norms++] = genai__role_names[role];
    f->samples = (float *)genai__alloc(f->ctx, (1 + genai__at_once(m, 1)) * GENAI__SEEN * pixels, sizeof(float));
    if (!f->samples) return GENAI_ERROR_MEMORY;
    f->real = f->samples + GENAI__SEEN * pixels;
    f->seen = count < GENAI__SEEN ? (int)count : GENAI__SEEN;
    genai_result result = genai_dataset_batch(of, 0, 0, f->seen, f->real, f->seen_labels); /* shuffled: folders are in the order of their classes */
    f->spread = genai__health_spread(f->seen, pixels, f->real + (genai__at_once(m, f->seen) - (size_t)f->seen) * pixels, &f->ends); /* of pairs, the targets */
    if (result || !m->net[GENAI__ENCODER] || genai__pointwise(m)) return result;
    f->kl = (float *)genai__alloc(f->ctx, (size_t)m->desc.latent, sizeof(float));
    h->latents = m->desc.latent;
    return f->kl ? GENAI_OK : GENAI_ERROR_MEMORY;
}

static int genai__falling(const void *a, const void *b) {
    float x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x < y) - (x > y);
}

/* Of each latent: the KL, and whether it is active. */
static genai_result genai__health_posterior(genai__fit *f) {
    genai_model  *m = f->model;
    genai_health *h = &f->progress.health;
    genai_tensor *x, *mean, *log_var, *kl = NULL;
    genai_result  result = genai__model_labels(m, "genai_model_fit", f->seen, f->seen_labels);
    genai__quiet  q = genai__quiet_begin(f->ctx);
    x = result ? NULL : genai__binarised(m, genai__model_input(m, f->seen, f->real), 0);
    if (x && genai__posterior(m, genai__best(m, GENAI__ENCODER), x, GENAI_EVAL, &mean, &log_var))
        kl = genai_mean(genai_scale(genai_sub(genai_add(genai_exp(log_var), genai_square(mean)), genai_scale(log_var, 1, 1)), 0.5f, 0), 1);
    if (kl) {
        memcpy(f->kl, kl->data, (size_t)h->latents * sizeof(float));
        genai__sort(f->kl, (size_t)h->latents, sizeof(float), genai__falling);
        mean = genai_sub(mean, genai_mean(mean, 1));
        kl = genai_sum(genai_square(mean), 1);
    }
    h->active = f->seen > 1 ? 0 : -1;
    for (int i = 0; kl && f->seen > 1 && i < h->latents; i++) h->active += kl->data[i] > 0.01f * (float)(f->seen - 1);
    if (kl) h->kl = f->kl;
    else if (!result) result = genai__result_of(f->ctx);
    genai__quiet_end(f->ctx, q);
    return result;
}

/* After each step: what it has left behind. */
static void genai__health_step(genai__fit *f) {
    genai_model  *m = f->model;
    genai_health *h = &f->progress.health;
    char          what[200], number[32];
    int           role, i = 0;
    for (role = 0; role < GENAI__ROLES; role++)
        if (m->optimizer[role]) h->norm[i++] = genai_optimizer_norm(m->optimizer[role]);
    h->balance = m->judged ? (float)m->right / (float)m->judged : -1;
    snprintf(what, sizeof what, "one code stands for nearly all (perplexity %s): the encoder gives the same vectors for all images", genai__number(number, (double)f->losses.value[3], 3));
    if (m->extra[GENAI__CODES]) genai__health_suspect(f, GENAI_TROUBLE_IGNORED, f->losses.value[3] < GENAI__ONE_CODE && f->spread > 0, GENAI__HEALTH_FROM, what);
    if (!m->judged || f->losses.skipped) return;
    for (i = 0; strcmp(m->family->losses[i], "discriminator"); i++) {}
    f->right += 0.01 * ((double)h->balance - f->right);
    f->loss += 0.01 * ((double)f->losses.value[i] - f->loss);
    snprintf(what, sizeof what, "the discriminator has told %s %% of the images rightly for some hundred steps and is sure of it: the %s learns little from it",
             genai__number(number, 100 * f->right, 4), m->family->takes ? "encoder" : genai__role_names[m->family->painter]);
    genai__health_suspect(f, GENAI_TROUBLE_OVERRULED, f->right >= GENAI__RIGHT && f->loss <= GENAI__SURE, 1, what);
}

/* From time to time: what takes passes of its own. Twice in a row is no accident. What a plain autoencoder makes of numbers
 * from the prior means nothing until a sampler is fitted. */
static int          genai__health_is_cheap(const genai_model *m) { return !m->family->latents; } /* one pass, of use without pictures */
static genai_result genai__health_measure(genai__fit *f) {
    genai_model  *m = f->model;
    genai_health *h = &f->progress.health;
    int           again = h->measured == m->steps, n = m->family->backs ? f->seen : GENAI__SEEN;
    int           drawn = m->desc.beta >= 0 || m->loss || m->family->latents || m->extra[GENAI__SAMPLER_MEAN];
    const char   *made = m->family->backs ? "translations" : "samples";
    double        spread, ends;
    char          what[200], a[32], b[32];
    GENAI__TRY(m->family->backs ? genai_model_translate(m, n, f->real, 0, f->samples) : genai_model_sample(m, 0, n, NULL, f->samples));
    if (f->kl) GENAI__TRY(genai__health_posterior(f));
    h->measured = m->steps;
    spread = genai__health_spread(n, genai__pixels(m), f->samples, &ends);
    h->diversity = drawn && f->spread > 0 ? (float)(spread / f->spread) : -1;
    h->saturated = drawn ? (float)ends : -1;
    if (again || m->steps < GENAI__HEALTH_FROM) return GENAI_OK;
    snprintf(what, sizeof what, "the %s are nearly alike (diversity %s of the data's): the %s has collapsed", made, genai__number(a, (double)h->diversity, 2),
             genai__role_names[m->family->painter]);
    genai__health_suspect(f, GENAI_TROUBLE_COLLAPSED, m->loss && h->diversity >= 0 && (double)h->diversity < GENAI__ALIKE, 2, what);
    snprintf(what, sizeof what, "%s %% of the %s' pixel values are 0 or 1, of the data's only %s %%: the %s is saturated and learns little",
             genai__number(a, 100 * ends, 4), made, genai__number(b, 100 * f->ends, 3), genai__role_names[m->family->painter]);
    genai__health_suspect(f, GENAI_TROUBLE_SATURATED, drawn && ends >= 0.999 && f->ends < 0.95, 2, what);
    snprintf(what, sizeof what, "none of the %d latents says anything about the image: the decoder ignores them", h->latents);
    if (f->kl) genai__health_suspect(f, GENAI_TROUBLE_IGNORED, !h->active && m->steps > m->desc.beta_warmup, 2, what);
    return GENAI_OK;
}

/* --- metrics.csv --- */
static void genai__fit_header(genai__fit *f, genai__text *t) {
    const genai_model *m = f->model;
    genai__text_add(t, "step,epoch,seconds");
    for (int i = 0; m->family->losses[i]; i++) genai__text_format(t, ",%s", genai__loss_name(m, i));
    genai__text_add(t, ",images_per_s,skipped,measure");
    if (m->loss && m->loss->middle >= 0) genai__text_add(t, ",balance");
    for (int i = 0; i < f->progress.health.norms; i++) genai__text_format(t, ",norm_%s", f->progress.health.norm_name[i]);
    genai__text_add(t, ",diversity,saturated");
    if (f->kl) genai__text_add(t, ",active,kl_latents");
    genai__text_add(t, "\n");
}

static void genai__fit_number(genai__fit *f, double x, int digits, int known) {
    char number[32];
    genai__text_format(&f->rows, ",%s", known ? genai__number(number, x, digits) : "");
}

static void genai__fit_row(genai__fit *f) {
    const genai_progress *p = &f->progress;
    const genai_health   *h = &p->health;
    char                  number[32];
    int                   i, now = h->measured == p->step;
    genai__text_format(&f->rows, "%ld,%ld,%s", p->step, p->epoch, genai__number(number, f->before + p->seconds, 6));
    for (i = 0; f->model->family->losses[i]; i++) genai__fit_number(f, (double)f->losses.value[i], 6, 1);
    genai__fit_number(f, p->images_per_s, 5, 1);
    genai__text_format(&f->rows, ",%ld", p->skipped);
    genai__fit_number(f, p->value, 7, p->measure != NULL);
    if (f->model->loss && f->model->loss->middle >= 0) genai__fit_number(f, (double)h->balance, 4, h->balance >= 0);
    for (i = 0; i < h->norms; i++) genai__fit_number(f, (double)h->norm[i], 5, 1);
    genai__fit_number(f, (double)h->diversity, 4, now && h->diversity >= 0);
    genai__fit_number(f, (double)h->saturated, 4, now && h->saturated >= 0);
    if (f->kl) genai__fit_number(f, h->active, 6, now);
    for (i = 0; f->kl && i < h->latents; i++)
        genai__text_format(&f->rows, "%s%s", i ? now ? " " : "" : ",", now ? genai__number(number, (double)f->kl[i], 4) : "");
    genai__text_add(&f->rows, "\n");
}

static genai_result genai__fit_flush(genai__fit *f) {
    f->flushed = genai__now();
    if (f->rows.failed) return GENAI_ERROR_MEMORY;
    if (!f->desc.out || !f->rows.length) return GENAI_OK;
    const char  *path = genai__fit_path(f, "metrics.csv");
    genai_result result = !path ? GENAI_ERROR_MEMORY : genai__append_file(f->ctx, path, f->rows.p, f->rows.length);
    f->rows.length = 0;
    return result;
}

/* Keeps the rows of a metrics.csv that is there up to the model's step: those after it will come again. */
static genai_result genai__fit_begin_rows(genai__fit *f) {
    const genai_io *io = &f->ctx->desc.io;
    genai__bytes    old = GENAI__ZEROED;
    genai__text     kept = {f->ctx, NULL, 0, 0, 0};
    genai_result    result = GENAI_OK;
    const char     *path = genai__fit_path(f, "metrics.csv");
    size_t          i = 0;
    if (!path) return GENAI_ERROR_MEMORY;
    void *file = io->open(io->user, path, 0);
    if (file) {
        result = genai__file_read(f->ctx, path, file, (size_t)-1, &old);
        io->close(io->user, file);
    }
    genai__fit_header(f, &kept);
    if (!kept.failed && !result && (old.n < kept.length || memcmp(old.p, kept.p, kept.length))) old.n = 0; /* none, or of another model */
    for (i = kept.length; i < old.n && !result && f->model->steps > 0;) {
        size_t      end = i, digits = i;
        const char *p;
        double      x;
        long        step = 0;
        while (end < old.n && old.p[end] != '\n') end++;
        if (end == old.n) break; /* a row cut short */
        for (; genai__is_digit((char)old.p[digits]) && step < 100000000; digits++) step = step * 10 + (old.p[digits] - '0');
        if (digits == i || step > f->model->steps) break;
        genai__text_bytes(&kept, (const char *)old.p + i, end + 1 - i);
        for (p = (const char *)old.p + digits + 1; *p != ',' && *p != '\n'; p++) {}
        if (*p == ',' && genai__parse_number(p + 1, &x)) f->before = x;
        i = end + 1;
    }
    if (kept.failed) result = GENAI_ERROR_MEMORY;
    if (!result && (kept.length != old.n || memcmp(kept.p, old.p, kept.length))) result = genai__write_file(f->ctx, path, kept.p, kept.length);
    genai__text_free(&kept);
    genai__free(f->ctx, old.p);
    return result;
}

/* --- pictures and checkpoints --- */
static genai_result genai__fit_grid(genai__fit *f, const char *kind, int n, const float *images) {
    const int *dim = f->model->dim;
    char       name[64];
    sprintf(name, "samples/%s-%06ld" GENAI__PICTURE, kind, f->model->steps);
    const char *path = genai__fit_path(f, name);
    return path ? genai_image_save_grid(f->ctx, path, n, GENAI__GRID, dim[2], dim[1], dim[3], images) : GENAI_ERROR_MEMORY;
}

/* Families that turn images into images: bands of sources, what becomes of them, and targets. */
static genai_result genai__fit_translations(genai__fit *f) {
    genai_model *m = f->model;
    size_t       pixels = genai__pixels(m), bytes = pixels * sizeof(float);
    float       *made = f->pairs + (size_t)(2 * f->shown) * pixels, *grid = made + (size_t)f->shown * pixels;
    genai_result result = genai_model_translate(m, f->shown, f->pairs, 0, made);
    int          bands = (f->shown + GENAI__GRID - 1) / GENAI__GRID, i;
    memset(grid, 0, (size_t)(3 * bands * GENAI__GRID) * bytes);
    for (i = 0; i < f->shown && !result; i++) {
        float *to = grid + (size_t)(i / GENAI__GRID * 3 * GENAI__GRID + i % GENAI__GRID) * pixels;
        memcpy(to, f->pairs + (size_t)i * pixels, bytes);
        memcpy(to + GENAI__GRID * pixels, made + (size_t)i * pixels, bytes);
        memcpy(to + 2 * GENAI__GRID * pixels, f->pairs + (size_t)(f->shown + i) * pixels, bytes);
    }
    return result ? result : genai__fit_grid(f, "step", 3 * bands * GENAI__GRID, grid);
}

static genai_result genai__fit_pictures(genai__fit *f) {
    genai_model *m = f->model;
    size_t       pixels = genai__pixels(m);
    if (!f->desc.out) return GENAI_OK;
    if (m->family->backs) return genai__fit_translations(f);
    GENAI__TRY(genai__fit_grid(f, "step", GENAI__SEEN, f->samples));
    for (int i = 0; i < f->shown; i += GENAI__GRID / 2) { /* pairs: the second half of `pairs` holds them side by side */
        int    n = f->shown - i < GENAI__GRID / 2 ? f->shown - i : GENAI__GRID / 2;
        float *side = f->pairs + (size_t)GENAI__PAIRS * pixels + (size_t)(2 * i) * pixels;
        float *made = f->pairs + (size_t)(3 * GENAI__PAIRS) * pixels;
        GENAI__TRY(genai_model_reconstruct(m, n, f->pairs + (size_t)i * pixels, f->classes + i, made));
        for (int j = 0; j < n; j++) {
            memcpy(side + (size_t)(2 * j) * pixels, f->pairs + (size_t)(i + j) * pixels, pixels * sizeof(float));
            memcpy(side + (size_t)(2 * j + 1) * pixels, made + (size_t)j * pixels, pixels * sizeof(float));
        }
    }
    return f->shown ? genai__fit_grid(f, "reconstruction", 2 * f->shown, f->pairs + (size_t)GENAI__PAIRS * pixels) : GENAI_OK;
}

static genai_result genai__fit_save(genai__fit *f) {
    f->saved = genai__now();
    GENAI__TRY(genai__fit_flush(f));
    if (!f->desc.out) return GENAI_OK;
    const char *path = genai__fit_path(f, "checkpoint.safetensors");
    GENAI__TRY(path ? genai_model_save_checkpoint(f->model, path) : GENAI_ERROR_MEMORY);
    path = genai__fit_path(f, "model.safetensors");
    return path ? genai_model_save(f->model, path) : GENAI_ERROR_MEMORY;
}

static int genai__fit_round(long step) { /* 1, 2, 5, 10, 20, 50, ... */
    while (step % 10 == 0) step /= 10;
    return step == 1 || step == 2 || step == 5;
}

/* --- the loop --- */
static genai_result genai__fit_check(genai__fit *f, const genai_fit_desc *desc) {
    genai_model       *m = f->model;
    genai_ctx         *ctx = f->ctx;
    genai_dataset_info info = genai_dataset_describe(f->data);
    if (desc) f->desc = *desc;
    if (f->desc.epochs < 0 || f->desc.steps < 0 || !(f->desc.minutes >= 0) || f->desc.batch < 0 || f->desc.sample_every < 0 || f->desc.checkpoint_every < 0)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_model_fit: epochs, steps, minutes, batch and the intervals must not be negative");
    if (!f->desc.epochs && !f->desc.steps && !(f->desc.minutes > 0)) f->desc.epochs = 10;
    if (!f->desc.batch) f->desc.batch = (genai__preset_of(m->desc.preset) ? genai__preset_of(m->desc.preset) : genai__preset_of(m->family->name))->info.batch;
    GENAI__TRY(genai__data_check(m, "genai_model_fit", f->data));
    if (m->resumed && m->seed != ctx->desc.seed)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "this training began with seed %llu, but the context has seed %llu: to go on, make the context with seed %llu",
                           (unsigned long long)m->seed, (unsigned long long)ctx->desc.seed, (unsigned long long)m->seed);
    f->test = f->desc.test ? f->desc.test : genai_dataset_test(f->data);
    if (f->test && !m->family->evaluate) f->test = NULL;
    if (f->test) GENAI__TRY(genai__data_check(m, "genai_model_fit's test set", f->test));
    f->count = info.count;
    f->batch = (size_t)f->desc.batch > f->count ? (int)f->count : f->desc.batch;
    for (int role = 0; role < GENAI__ROLES; role++)
        for (int i = 0; m->net[role] && i < m->net[role]->layers; i++)
            if (m->net[role]->layer[i].kind->owns == GENAI__OWNS_SCALE_AND_STATISTICS) f->lone = 1;
    return GENAI_OK;
}

static genai_result genai__make_dir(genai_ctx *ctx, const char *path) { /* NULL: there was no memory for it */
    if (!path) return GENAI_ERROR_MEMORY;
    return ctx->desc.io.make_dir(ctx->desc.io.user, path) ? genai__io_fail(ctx, path, "the folder could not be made") : GENAI_OK;
}

static genai_result genai__fit_begin(genai__fit *f) {
    genai_model *m = f->model;
    size_t       pixels = genai__pixels(m);
    f->images = (float *)genai__alloc(f->ctx, genai__at_once(m, f->batch) * pixels, sizeof(float));
    f->labels = (int *)genai__alloc(f->ctx, (size_t)f->batch, sizeof(int));
    if (!f->images || !f->labels) return GENAI_ERROR_MEMORY;
    if (m->position >= f->count) {
        m->position = 0;
        m->epoch++;
    }
    f->began = f->saved = f->flushed = genai__now();
    GENAI__TRY(genai__health_begin(f));
    if (!f->desc.out) return GENAI_OK;
    GENAI__TRY(genai__make_dir(f->ctx, f->desc.out));
    GENAI__TRY(genai__make_dir(f->ctx, genai__fit_path(f, "samples")));
    GENAI__TRY(genai__fit_begin_rows(f));
    if (!m->family->encode && !m->family->backs) return GENAI_OK;
    genai_dataset *of = f->test ? f->test : f->data; /* unseen images where there are any */
    size_t         n = genai_dataset_describe(of).count;
    f->shown = n < GENAI__PAIRS ? (int)n : GENAI__PAIRS;
    f->pairs = (float *)genai__alloc(f->ctx, (size_t)(m->family->backs ? 6 * GENAI__PAIRS : 3 * GENAI__PAIRS + GENAI__GRID / 2) * pixels, sizeof(float));
    return f->pairs ? genai_dataset_batch(of, -1, 0, f->shown, f->pairs, f->classes) : GENAI_ERROR_MEMORY;
}

/* Images of the next step; 0 at the end of the epoch. */
static int genai__fit_next(const genai__fit *f) {
    size_t left = f->count - f->model->position;
    int    n = left < (size_t)f->batch ? (int)left : f->batch;
    return n == 1 && f->lone && f->batch > 1 ? 0 : n;
}

static long genai__fit_total(const genai__fit *f) { /* steps at the end; 0: only time ends it */
    long per_epoch = (long)(f->count / (size_t)f->batch), rest = (long)(f->count % (size_t)f->batch), total = f->desc.steps;
    const genai_model *m = f->model;
    per_epoch += rest > (f->lone && f->batch > 1 ? 1 : 0);
    if (f->desc.epochs) {
        long end = m->steps + (f->desc.epochs - m->epoch) * per_epoch - (long)((m->position + (size_t)f->batch - 1) / (size_t)f->batch);
        if (end < m->steps) end = m->steps;
        if (!total || end < total) total = end;
    }
    return total;
}

static int genai__fit_done(const genai__fit *f) {
    const genai_model *m = f->model;
    return (f->desc.steps && m->steps >= f->desc.steps) || (f->desc.epochs && m->epoch >= f->desc.epochs) ||
           (f->desc.minutes > 0 && genai__now() - f->began >= 60 * f->desc.minutes);
}

static genai_result genai__fit_report(genai__fit *f) { /* calls on_step; STOPPED if it says so */
    genai_progress *p = &f->progress;
    genai_model    *m = f->model;
    p->step = m->steps;
    p->skipped = m->skipped;
    p->seconds = genai__now() - f->began;
    p->images_per_s = f->rate;
    p->eta = p->steps && f->rate > 0 ? (double)(p->steps - p->step) * f->batch / f->rate : -1;
    double left = 60 * f->desc.minutes - p->seconds;
    if (f->desc.minutes > 0 && (p->eta < 0 || left < p->eta)) p->eta = left > 0 ? left : 0;
    return f->desc.on_step && f->desc.on_step(f->desc.user, p) ? GENAI_STOPPED : GENAI_OK;
}

static genai_result genai__fit_step(genai__fit *f, int n) {
    genai_model *m = f->model;
    double       start = genai__now(), seconds, weight;
    GENAI__TRY(genai_dataset_batch(f->data, m->epoch, m->position, n, f->images, f->labels));
    GENAI__TRY(genai_model_step(m, n, f->images, f->labels, &f->losses));
    m->position += (size_t)n;
    genai__health_step(f);
    seconds = genai__now() - start;
    if (seconds < 1e-6) seconds = 1e-6;
    weight = seconds < 1 ? seconds : 1; /* a mean over about the last second */
    f->rate = f->rate > 0 ? f->rate + weight * (n / seconds - f->rate) : n / seconds;
    if (m->skipped_in_row >= GENAI__MAX_SKIPPED)
        return genai__fail(f->ctx, GENAI_ERROR_NONFINITE, "training stopped at step %ld: the last %d steps all had losses or gradients that aren't finite; "
                           "go back to a checkpoint and try a smaller lr or clip_norm 1", m->steps, GENAI__MAX_SKIPPED);
    return GENAI_OK;
}

static genai_result genai__fit_loop(genai__fit *f) {
    genai_model *m = f->model;
    genai_result result = GENAI_OK;
    f->progress.steps = genai__fit_total(f);
    while (!result && !genai__fit_done(f)) {
        int n = genai__fit_next(f), every, draws;
        if (n) {
            f->progress.epoch = m->epoch;
            GENAI__TRY(genai__fit_step(f, n));
        }
        f->progress.measure = NULL;
        if (!genai__fit_next(f)) { /* the end of an epoch */
            m->position = 0;
            m->epoch++;
            if (f->test) GENAI__TRY(genai_model_evaluate(m, f->test, &f->progress.measure, &f->progress.value));
        }
        if (!n) continue; /* resumed with another batch size, before a lone image */
        draws = f->desc.out && (f->desc.sample_every ? m->steps % f->desc.sample_every == 0 : genai__fit_round(m->steps));
        if (draws || ((m->steps % GENAI__HEALTH_EVERY == 0 || genai__fit_done(f)) && genai__health_is_cheap(m))) GENAI__TRY(genai__health_measure(f));
        result = genai__fit_report(f);
        every = m->steps <= 100 ? 1 : m->steps <= 10000 ? 10 : 100;
        if (f->desc.out && (m->steps % every == 0 || f->progress.measure || f->progress.health.measured == m->steps || result == GENAI_STOPPED)) genai__fit_row(f);
        if (draws) GENAI__TRY(genai__fit_pictures(f));
        if (f->desc.out && result != GENAI_STOPPED) {
            int due = f->desc.checkpoint_every ? m->steps % f->desc.checkpoint_every == 0 : genai__now() - f->saved >= 60;
            GENAI__TRY(due ? genai__fit_save(f) : genai__now() - f->flushed >= 1 ? genai__fit_flush(f) : GENAI_OK);
        }
    }
    return result;
}

GENAI_API genai_result genai_model_fit(genai_model *m, genai_dataset *data, const genai_fit_desc *desc) {
    genai__fit f = GENAI__ZEROED;
    if (!m) return GENAI_ERROR_ARGUMENT;
    if (!data) return m->ctx->result ? m->ctx->result : genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "genai_model_fit: data is NULL");
    f.model = f.progress.model = m;
    f.ctx = f.rows.ctx = f.path.ctx = m->ctx;
    f.data = data;
    f.progress.losses = &f.losses;
    long first = m->steps;
    genai_result result = genai__fit_check(&f, desc);
    if (!result) result = genai__fit_begin(&f);
    if (!result) result = genai__fit_loop(&f);
    int fits = m->steps && m->desc.sampler && strcmp(m->desc.sampler, "prior") && !m->extra[GENAI__SAMPLER_MEAN]; /* or an earlier run was ended before it did */
    if ((!result || result == GENAI_STOPPED) && (m->steps > first || fits)) {
        genai_result last = genai__fit_save(&f);
        if (!last && fits) {
            last = genai_model_fit_sampler(m, data, m->desc.sampler, 0);
            if (!last) last = genai__fit_save(&f);
        }
        if (!last && (f.desc.out || (genai__health_is_cheap(m) && (m->extra[GENAI__SAMPLER_MEAN] || f.progress.health.measured != m->steps)))) last = genai__health_measure(&f);
        if (!last) last = genai__fit_pictures(&f);
        if (last) result = last;
    } else if (m->steps > first && result != GENAI_ERROR_NONFINITE && result != GENAI_ERROR_MEMORY) genai__fit_save(&f);
    else genai__fit_flush(&f);
    if (!result || result == GENAI_STOPPED) {
        f.progress.finished = 1;
        f.progress.measure = NULL;
        genai__fit_report(&f);
    }
    genai__text_free(&f.rows);
    genai__text_free(&f.path);
    genai__free(m->ctx, f.images);
    genai__free(m->ctx, f.labels);
    genai__free(m->ctx, f.pairs);
    genai__free(m->ctx, f.samples);
    genai__free(m->ctx, f.kl);
    return result;
}

/* --- the progress line --- */
#ifdef GENAI_NO_STDIO
GENAI_API int genai_progress_bar(void *user, const genai_progress *p) {
    (void)user; (void)p;
    return 0;
}
#else
#if GENAI__WINDOWS
static int genai__terminal(void) { return _isatty(2); }
#else
static int genai__terminal(void) { return isatty(2); }
#endif

#define GENAI__LINE 120 /* characters of a progress line that health keeps within */

/* The name of a loss in a progress line. */
static const char *genai__line_name(const char *name) {
    return !strcmp(name, "discriminator") ? "D" : !strcmp(name, "generator") ? "G" : !strcmp(name, "reconstruction") ? "rec" : name;
}

GENAI_API int genai_progress_bar(void *user, const genai_progress *p) {
    char   line[400], number[32], piece[4][128];
    size_t n = 0;
    int    i, terminal = genai__terminal();
    double now = genai__now();
    (void)user;
    if (!p || !p->model) return 0;
    if (!p->finished && !p->measure && p->step > 1 && now - p->model->shown < (terminal ? 0.1 : 5)) return 0;
    p->model->shown = now;
    const genai_health *h = &p->health;
    n += (size_t)snprintf(line + n, sizeof line - n, p->steps ? "step %ld/%ld" : "step %ld", p->step, p->steps);
    n += (size_t)snprintf(line + n, sizeof line - n, "  epoch %ld", p->epoch + 1);
    for (i = 0; i < p->losses->count; i++)
        n += (size_t)snprintf(line + n, sizeof line - n, "  %s %s", genai__line_name(p->losses->name[i]), genai__number(number, (double)p->losses->value[i], 4));
    n += (size_t)snprintf(line + n, sizeof line - n, "  %ld img/s", (long)(p->images_per_s + 0.5));
    if (p->skipped) n += (size_t)snprintf(line + n, sizeof line - n, "  %ld skipped", p->skipped);
    if (!p->finished && p->eta >= 0) n += (size_t)snprintf(line + n, sizeof line - n, "  ETA %ld:%02ld", (long)p->eta / 60, (long)p->eta % 60);
    if (p->measure) n += (size_t)snprintf(line + n, sizeof line - n, "  %s %.2f", p->measure, p->value);
    if (p->finished) n += (size_t)snprintf(line + n, sizeof line - n, "  done in %ld:%02ld", (long)p->seconds / 60, (long)p->seconds % 60);
    memset(piece, 0, sizeof piece);
    if (h->balance >= 0) snprintf(piece[0], sizeof piece[0], "  D right %.0f %%", 100 * (double)h->balance);
    for (i = 0; i < h->norms; i++) sprintf(piece[1] + strlen(piece[1]), "%s%s", i ? "/" : "  grad ", genai__number(number, (double)h->norm[i], 3));
    if (h->active >= 0) snprintf(piece[2], sizeof piece[2], "  %d/%d latents", h->active, h->latents);
    if (h->diversity >= 0) snprintf(piece[3], sizeof piece[3], "  diversity %.2f", (double)h->diversity);
    for (i = 0; i < 4; i++)
        if (n + strlen(piece[i]) <= GENAI__LINE) n += (size_t)snprintf(line + n, sizeof line - n, "%s", piece[i]);
    if (terminal) fprintf(stderr, "\r%s\x1b[K%s", line, p->measure || p->finished ? "\n" : "");
    else fprintf(stderr, "%s\n", line);
    fflush(stderr);
    return 0;
}
#endif

/* ====================================================================================================================
 * >>metrics (private)
 * Measures of a trained model. evaluate is the family's own: the mean over a data set, in its order, with running
 * statistics, the averaged nets, and noise that belongs to the image's number; so it is the same for any portion size.
 * The others know no model: they compare two sets of vectors, which a judge makes of images. Sums are in double and in a
 * fixed order; of libm they use sqrt only. What compares all with all takes a few rows at a time and keeps a few numbers
 * for each row, so 10,000 vectors need no more memory than their own.
 * ================================================================================================================= */
static genai_result genai__evaluate(genai_model *m, const char *what, genai_dataset *data, int samples, double *value) { /* samples: 0, or those of nll */
    genai_result result = GENAI_OK;
    double       sum = 0;
    int          labels[GENAI__PORTION];
    if (!data || !value) return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "%s: %s is NULL", what, data ? "value" : "data");
    genai_dataset_info info = genai_dataset_describe(data);
    GENAI__TRY(genai__data_check(m, what, data));
    float *images = (float *)genai__alloc(m->ctx, genai__at_once(m, GENAI__PORTION) * genai__pixels(m), sizeof *images);
    if (!images) return GENAI_ERROR_MEMORY;
    uint64_t mode = genai__fp_enter();
    for (size_t i = 0; i < info.count && !result; i += GENAI__PORTION) {
        int n = info.count - i < GENAI__PORTION ? (int)(info.count - i) : GENAI__PORTION;
        result = genai_dataset_batch(data, -1, i, n, images, labels);
        if (!result) result = genai__model_labels(m, what, n, labels);
        if (!result) {
            genai__quiet  q = genai__quiet_begin(m->ctx);
            genai_tensor *x = genai__model_input(m, (int)genai__at_once(m, n), images);
            result = !x ? genai__result_of(m->ctx) : !samples ? m->family->evaluate(m, x, i, &sum) :
                     m->extra[GENAI__UNITS] ? genai__stack_nll(m, x, i, &sum) : genai__vae_nll(m, x, i, samples, &sum);
            genai__quiet_end(m->ctx, q);
        }
    }
    genai__fp_leave(mode);
    genai__free(m->ctx, images);
    *value = sum / (double)info.count;
    return result;
}

GENAI_API genai_result genai_model_evaluate(genai_model *m, genai_dataset *data, const char **name, double *value) {
    if (!m) return GENAI_ERROR_ARGUMENT;
    if (!m->family->evaluate) return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "a %s has no measure of its own on a data set", m->family->name);
    if (name) *name = m->family->measure(m);
    return genai__evaluate(m, "genai_model_evaluate", data, 0, value);
}

GENAI_API genai_result genai_model_nll(genai_model *m, genai_dataset *data, int k, double *value) {
    if (!m) return GENAI_ERROR_ARGUMENT;
    if (k < 1) return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "genai_model_nll: k is %d, but must be at least 1", k);
    if (m->extra[GENAI__UNITS]) {
        genai_partition_desc d = GENAI__ZEROED;
        genai_partition      z;
        d.runs = k > 1 ? k : 2;
        GENAI__TRY(genai_model_log_partition(m, &d, &z));
        GENAI__TRY(genai__evaluate(m, "genai_model_nll", data, k, value));
        *value += z.log_z;
        return GENAI_OK;
    }
    if (!m->likelihood || genai__pointwise(m))
        return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "log-likelihoods are estimated through a posterior, which this %s hasn't got", m->family->name);
    if (!m->likelihood->nats)
        return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "likelihood '%s' is no density, so images have no log-likelihood under it: train with bernoulli or gaussian",
                           m->likelihood->name);
    return genai__evaluate(m, "genai_model_nll", data, k, value);
}

/* --- log p(x) of decoders: AIS from the prior to the posterior, rows [image, run] at one temperature --- */
#define GENAI__ANNEAL_PILOT 10     /* temperatures for each one of the pilot's */
#define GENAI__ANNEAL_RIGHT 0.65   /* acceptance that leapfrogs are made for (Neal 2011)  */

typedef struct genai__anneal {
    genai_model          *m;
    genai_likelihood_desc desc;     /* resolved */
    int                   rows;
    genai_tensor         *z, *x;    /* [rows,Z] where the chains are, [rows,H,W,C] */
    genai__dice           dice;
    float                *momentum, *before, *slope, *slope_before; /* [rows,Z]: the last two are the cost's gradients */
    float                *length;   /* [pilot's temperatures,rows] of a leapfrog step */
    double               *cost, *cost_before, *weight; /* [rows]; cost: -log p(x|z), but for a constant */
} genai__anneal;

/* (2 t/n - 1) of a sigmoid from -4 to 4, brought to [0,1] (Wu et al. 2017). */
static double genai__anneal_beta(int i, int n) {
    double edge = 1 / (1 + genai__exp(4)), at = 1 / (1 + genai__exp(-4 * (2.0 * i / n - 1)));
    return i <= 0 ? 0 : i >= n ? 1 : (at - edge) / (1 - 2 * edge);
}

static genai_result genai__anneal_cost(genai__anneal *a) {
    genai_ctx    *ctx = a->m->ctx;
    size_t        mark = genai_tape_mark(ctx);
    genai_tensor *cost = genai_square(genai_sub(genai__images(a->m, genai__decoded(a->m, a->z)), a->x)), *loss;
    cost = genai_scale(genai_sum(genai__matrix(cost, a->rows, -1), 2), 0.5f / (a->desc.noise * a->desc.noise), 0);
    loss = genai_sum(cost, 0);
    if (a->z->grad) memset(a->z->grad->data, 0, a->z->count * sizeof(float));
    genai_result result = loss ? genai__backward(loss, mark) : genai__result_of(ctx);
    for (int i = 0; i < a->rows && !result; i++) a->cost[i] = (double)cost->data[i];
    if (!result) memcpy(a->slope, a->z->grad->data, a->z->count * sizeof(float));
    genai_tape_release(ctx, mark);
    return result;
}

/* Leaves exp(-beta cost - |z|^2/2) as it is (Neal 2011). `length` [rows] of a step; learn: they follow the acceptance. */
static genai_result genai__anneal_move(genai__anneal *a, double beta, float *length, int learn) {
    size_t        mark = genai_tape_mark(a->m->ctx), size = (size_t)a->m->desc.latent, i, k;
    genai_tensor *kick = genai__dice_roll(&a->dice, 1, a->rows, (int)size), *luck = genai__dice_roll(&a->dice, 0, a->rows, 1);
    float        *z = a->z->data, *p = a->momentum, b = (float)beta;
    genai_result  result = kick && luck ? GENAI_OK : genai__result_of(a->m->ctx);
    if (result) return result;
    memcpy(a->before, z, a->z->count * sizeof *z);
    memcpy(a->slope_before, a->slope, a->z->count * sizeof *z);
    memcpy(a->cost_before, a->cost, (size_t)a->rows * sizeof *a->cost);
    for (i = 0; i < a->z->count; i++) p[i] = kick->data[i] - 0.5f * length[i / size] * (z[i] + b * a->slope[i]);
    for (int leap = 1; leap <= a->desc.leapfrogs && !result; leap++) {
        for (i = 0; i < a->z->count; i++) z[i] += length[i / size] * p[i];
        result = genai__anneal_cost(a);
        for (i = 0; i < a->z->count; i++) p[i] -= (leap < a->desc.leapfrogs ? 1.0f : 0.5f) * length[i / size] * (z[i] + b * a->slope[i]);
    }
    for (i = 0; i < (size_t)a->rows && !result; i++) {
        double gain = beta * (a->cost_before[i] - a->cost[i]), right;
        for (k = i * size; k < (i + 1) * size; k++)
            gain += 0.5 * ((double)a->before[k] * (double)a->before[k] + (double)kick->data[k] * (double)kick->data[k] - (double)z[k] * (double)z[k] - (double)p[k] * (double)p[k]);
        right = gain >= 0 ? 1 : genai__exp(gain); /* NaN: 0 */
        if (!((double)luck->data[i] < right)) {
            memcpy(z + i * size, a->before + i * size, size * sizeof *z);
            memcpy(a->slope + i * size, a->slope_before + i * size, size * sizeof *z);
            a->cost[i] = a->cost_before[i];
        }
        if (learn) length[i] *= (float)genai__exp(0.4 * (right - GENAI__ANNEAL_RIGHT));
    }
    genai_tape_release(a->m->ctx, mark);
    return result;
}

/* One way, n temperatures; the weights end up in a->weight. A pilot finds the lengths of the steps, which don't depend on the
 * chains that are weighed then. */
static genai_result genai__anneal_run(genai__anneal *a, int n, int back, int pilot) {
    int          last = a->desc.steps / GENAI__ANNEAL_PILOT;
    genai_result result = genai__anneal_cost(a);
    memset(a->weight, 0, (size_t)a->rows * sizeof *a->weight);
    for (int t = 1; t <= n && !result; t++) {
        int    at = back ? n - t : t, row = (int)(((int64_t)at * last + n - 1) / n); /* tuned as cold or colder */
        float *length = a->length + (size_t)row * (size_t)a->rows;
        double from = genai__anneal_beta(back ? at + 1 : at - 1, n), to = genai__anneal_beta(at, n);
        for (int i = 0; i < a->rows; i++) a->weight[i] -= (to - from) * a->cost[i];
        if (pilot) memcpy(length, length - a->rows, (size_t)a->rows * sizeof *length);
        if (t < n) result = genai__anneal_move(a, to, length, pilot);
    }
    return result;
}

/* Images first, ... first + n - 1 of `images`, or of the model's own. */
static genai_result genai__anneal_images(genai__anneal *a, int first, int n, const float *images, double *low, double *high) {
    genai_model  *m = a->m;
    int           runs = a->desc.runs, tuned = a->desc.steps / GENAI__ANNEAL_PILOT + 1;
    size_t        latent = (size_t)m->desc.latent, pixels = genai__pixels(m), rows = (size_t)a->rows, values = rows * latent;
    genai__dice   own = {m->ctx, 1, GENAI__STREAM_AIS, a->desc.seed, (uint64_t)1 << 40, (size_t)first};
    genai_tensor *z = genai__dice_roll(&own, 1, n, (int)latent), *noise = images ? NULL : genai__dice_roll(&own, 1, n, (int)pixels);
    a->momentum = (float *)genai__arena(m->ctx, (4 * values + rows * (size_t)tuned) * sizeof(float));
    a->cost = (double *)genai__arena(m->ctx, 3 * rows * sizeof(double));
    if (!z || (!images && !noise) || !a->momentum || !a->cost) return genai__result_of(m->ctx);
    a->before = a->momentum + values;
    a->slope = a->before + values;
    a->slope_before = a->slope + values;
    a->length = a->slope_before + values;
    a->cost_before = a->cost + rows;
    a->weight = a->cost_before + rows;
    a->dice = own;
    a->dice.first *= (size_t)runs;
    if (!images) {
        size_t drawn = genai_tape_mark(m->ctx);
        for (int i = 0; i < n; i++)
            for (int r = 0; r < runs; r++) memcpy(a->z->data + (size_t)(i * runs + r) * latent, z->data + (size_t)i * latent, latent * sizeof(float));
        GENAI__TRY(genai__values_of(m->ctx, genai__decoded(m, a->z), a->x->data));
        genai_tape_release(m->ctx, drawn);
    }
    for (int i = 0; i < n * runs; i++)
        for (size_t k = 0; k < pixels; k++) {
            float *x = a->x->data + (size_t)i * pixels + k;
            *x = images ? images[(size_t)(i / runs) * pixels + k] : *x + a->desc.noise * noise->data[(size_t)(i / runs) * pixels + k];
        }
    for (int i = 0; i < a->rows; i++) a->length[i] = 0.2f;
    for (int way = -1; way < 1 + (high != NULL); way++) { /* the pilot, on, back */
        a->dice.roll = (uint64_t)(way + 1) << 32;
        genai_tensor *start = genai__dice_roll(&a->dice, 1, a->rows, (int)latent);
        if (!start) return genai__result_of(m->ctx);
        for (int i = 0; i < a->rows; i++)
            memcpy(a->z->data + (size_t)i * latent, way == 1 ? z->data + (size_t)(i / runs) * latent : start->data + (size_t)i * latent, latent * sizeof(float));
        GENAI__TRY(genai__anneal_run(a, way < 0 ? a->desc.steps / GENAI__ANNEAL_PILOT : a->desc.steps, way == 1, way < 0));
        for (int i = 0; i < n && way >= 0; i++) {
            double most = a->weight[i * runs], sum = 0;
            for (int r = 1; r < runs; r++) most = a->weight[i * runs + r] > most ? a->weight[i * runs + r] : most;
            for (int r = 0; r < runs; r++) sum += a->weight[i * runs + r] == a->weight[i * runs + r] ? genai__exp(a->weight[i * runs + r] - most) : a->weight[i * runs + r];
            sum = most + genai__log(sum / runs);
            if (!genai__finite((float)sum)) return genai__fail(m->ctx, GENAI_ERROR_NONFINITE, "genai_model_likelihood: log p(x) of image %d isn't finite", first + i);
            (way ? high : low)[i] = (way ? -sum : sum) - (double)pixels * (GENAI__HALF_LOG_2PI + genai__log((double)a->desc.noise));
        }
    }
    return GENAI_OK;
}

GENAI_API genai_result genai_model_likelihood(genai_model *m, int n, const float *images, const int *labels, const genai_likelihood_desc *desc, double *low, double *high) {
    static const char what[] = "genai_model_likelihood";
    genai__anneal     a = GENAI__ZEROED;
    GENAI__TRY(genai__model_check(m, what, n, low, low));
    if (images || labels) GENAI__TRY(genai__model_labels(m, what, n, labels));
    if (!genai__normal_prior(m) || m->extra[GENAI__UNITS])
        return genai__fail(m->ctx, GENAI_ERROR_UNSUPPORTED, "%s: the latents of this %s aren't drawn from N(0,1)", what, m->family->name);
    if (desc) a.desc = *desc;
    if (a.desc.noise == 0) a.desc.noise = 0.2f;
    if (!a.desc.runs) a.desc.runs = 16;
    if (!a.desc.steps) a.desc.steps = 1000;
    if (!a.desc.leapfrogs) a.desc.leapfrogs = 10;
    if (images && high) return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "%s: of given images there is no estimate from above", what);
    if (!(a.desc.noise >= 1e-3f && a.desc.noise < 1e3f) || a.desc.runs < 1 || a.desc.runs > GENAI__PORTION || a.desc.steps < 2 * GENAI__ANNEAL_PILOT ||
        a.desc.steps > 1000000 || a.desc.leapfrogs < 1 || a.desc.leapfrogs > 1000)
        return genai__fail(m->ctx, GENAI_ERROR_ARGUMENT, "%s: noise must be from 0.001 to 1000, runs from 1 to %d, steps from %d to 1000000, leapfrogs from 1 to 1000", what,
                           GENAI__PORTION, 2 * GENAI__ANNEAL_PILOT);
    int          trainable = genai_net_trainable(genai__best(m, m->family->painter), 0), per = GENAI__PORTION / a.desc.runs, as[GENAI__PORTION];
    genai__visit visit = genai__visit_begin(m->ctx);
    genai_result result = GENAI_OK;
    size_t       mark = genai_tape_mark(m->ctx);
    for (int i = 0, part; i < n && !result; i += part) {
        part = n - i < per ? n - i : per;
        a.m = m;
        a.rows = part * a.desc.runs;
        for (int r = 0; r < a.rows && m->desc.classes; r++) as[r] = labels ? labels[i + r / a.desc.runs] : (i + r / a.desc.runs) % m->desc.classes;
        m->labels = m->desc.classes ? as : NULL;
        int z[2] = {a.rows, m->desc.latent}, x[4] = {a.rows, m->dim[1], m->dim[2], m->dim[3]};
        a.z = genai_tensor_create(m->ctx, 2, z);
        a.x = genai_tensor_create(m->ctx, 4, x);
        if (a.z) a.z->requires_grad = 1;
        result = a.z && a.x ? genai__anneal_images(&a, i, part, images ? images + (size_t)i * genai__pixels(m) : NULL, low + i, high ? high + i : NULL) : genai__result_of(m->ctx);
        genai_tape_release(m->ctx, mark);
        genai_tensor_destroy(a.z);
        genai_tensor_destroy(a.x);
    }
    m->labels = NULL;
    genai_net_trainable(genai__best(m, m->family->painter), trainable);
    genai__visit_end(m->ctx, &visit);
    return result;
}

/* --- the judge: a body that makes features of images, and a head that makes classes of features --- */
struct genai_judge {
    genai_ctx       *ctx;
    genai_judge_info info;
    genai_net       *body, *head;
};

#define GENAI__JUDGE_BATCH 64
#define GENAI__JUDGE_CLASSES 65536
#define GENAI__JUDGE_FEATURES 4096

GENAI_API void genai_judge_destroy(genai_judge *j) {
    if (!j) return;
    genai_net_destroy(j->body);
    genai_net_destroy(j->head);
    genai__free(j->ctx, j);
}

GENAI_API genai_judge_info genai_judge_describe(const genai_judge *j) {
    genai_judge_info none = GENAI__ZEROED;
    return j ? j->info : none;
}

/* With fresh weights. Images are halved until both sides are 7 or less: so the weights stay few for any size. */
static genai_judge *genai__judge_make(genai_ctx *ctx, const genai_judge_info *info, uint32_t stream) {
    genai_judge   *j = (genai_judge *)genai__alloc(ctx, 1, sizeof *j);
    genai_net_desc d = GENAI__ZEROED;
    genai__text    t = {ctx, NULL, 0, 0, 0};
    char           head[40];
    int            channels = 32, side;
    if (!j) return NULL;
    j->ctx = ctx;
    j->info = *info;
    genai__text_format(&t, "conv %d k3 | batchnorm | relu | ", channels / 2);
    for (side = info->width > info->height ? info->width : info->height; side > 7; side = (side + 1) / 2, channels = channels < 128 ? 2 * channels : 128)
        genai__text_format(&t, "conv %d k4 s2 | batchnorm | relu | ", channels);
    genai__text_format(&t, "flatten | dropout 0.3 | dense %d nobias | batchnorm | relu", info->features);
    d.name = "judge.body";
    d.text = t.p;
    d.ndim = 3;
    d.dim[0] = info->height;
    d.dim[1] = info->width;
    d.dim[2] = info->channels;
    d.stream = genai__net_stream(d.name) + stream;
    if (!t.failed) j->body = genai_net_create(ctx, &d);
    genai__text_free(&t);
    sprintf(head, "dense %d", info->classes);
    d.name = "judge.head";
    d.text = head;
    d.ndim = 1;
    d.dim[0] = info->features;
    d.stream = genai__net_stream(d.name) + stream;
    if (j->body) j->head = genai_net_create(ctx, &d);
    if (!j->head) return genai_judge_destroy(j), GENAI__NULL;
    return j;
}

/* What the outside wants of n images; NULL: not wanted. */
static genai_result genai__judge_run(genai_judge *j, const char *what, int n, const float *images, float *features, int *labels, float *probabilities) {
    int          dim[4] = {n, j->info.height, j->info.width, j->info.channels}, i, r, c;
    size_t       pixels = (size_t)dim[1] * (size_t)dim[2] * (size_t)dim[3], k = (size_t)j->info.classes, d = (size_t)j->info.features;
    genai_result result = GENAI_OK;
    if (n < 1 || !images) return genai__fail(j->ctx, GENAI_ERROR_ARGUMENT, "%s: %s", what, images ? "n must be at least 1" : "images are NULL");
    uint64_t mode = genai__fp_enter();
    for (i = 0; i < n && !result; i += GENAI__PORTION) {
        genai__quiet q = genai__quiet_begin(j->ctx);
        dim[0] = genai__portion(i, n);
        genai_tensor *f = genai_net_forward(j->body, genai_tensor_of(j->ctx, 4, dim, images + (size_t)i * pixels), GENAI_EVAL);
        if (f && features) memcpy(features + (size_t)i * d, f->data, f->count * sizeof(float));
        genai_tensor *p = labels || probabilities ? genai_softmax(genai_net_forward(j->head, f, GENAI_EVAL)) : f;
        if (!p) result = genai__result_of(j->ctx);
        else if (probabilities) memcpy(probabilities + (size_t)i * k, p->data, p->count * sizeof(float));
        for (r = 0; r < dim[0] && p && labels; r++)
            for (labels[i + r] = 0, c = 1; c < j->info.classes; c++)
                if (p->data[(size_t)r * k + (size_t)c] > p->data[(size_t)r * k + (size_t)labels[i + r]]) labels[i + r] = c;
        genai__quiet_end(j->ctx, q);
    }
    genai__fp_leave(mode);
    return result;
}

GENAI_API genai_result genai_judge_classify(genai_judge *j, int n, const float *images, int *labels, float *probabilities) {
    return j ? genai__judge_run(j, "genai_judge_classify", n, images, NULL, labels, probabilities) : GENAI_ERROR_ARGUMENT;
}
GENAI_API genai_result genai_judge_features(genai_judge *j, int n, const float *images, float *features) {
    if (!j) return GENAI_ERROR_ARGUMENT;
    if (!features) return genai__fail(j->ctx, GENAI_ERROR_ARGUMENT, "genai_judge_features: features are NULL");
    return genai__judge_run(j, "genai_judge_features", n, images, features, NULL, NULL);
}

/* Steps through epochs of full batches, the learning rate falling to 0 along a cosine. images and labels: room for a batch. */
static genai_result genai__judge_train(genai_judge *j, genai_dataset *data, long steps, float *images, int *labels) {
    genai_optimizer_desc d = GENAI__ZEROED;
    size_t               count = data->info.count, at = 0;
    int                  n = count < GENAI__JUDGE_BATCH ? (int)count : GENAI__JUDGE_BATCH;
    int                  dim[4] = {n, j->info.height, j->info.width, j->info.channels};
    long                 step, epoch = 0;
    d.lr = 0.002f;
    d.schedule = GENAI_SCHEDULE_COSINE;
    d.steps = (int)steps;
    genai_optimizer *o = genai_optimizer_create(j->ctx, &d);
    genai_result result = o ? genai_optimizer_add(o, j->body, 1) : genai__result_of(j->ctx);
    if (!result) result = genai_optimizer_add(o, j->head, 1);
    for (step = 0; step < steps && !result; step++, at += (size_t)n) {
        size_t        mark = genai_tape_mark(j->ctx);
        genai_tensor *loss;
        if (count - at < (size_t)n) at = 0, epoch++;
        genai_random_at(j->ctx, GENAI__STREAM_JUDGE, (uint64_t)step);
        result = genai_dataset_batch(data, epoch, at, n, images, labels);
        if (result) break;
        loss = genai_cross_entropy_loss(genai_net_forward(j->head, genai_net_forward(j->body, genai_tensor_of(j->ctx, 4, dim, images), GENAI_TRAIN), GENAI_TRAIN), labels);
        genai_optimizer_zero(o);
        result = loss ? genai_backward(loss) : genai__result_of(j->ctx);
        if (!result) result = genai_optimizer_step(o);
        genai_tape_release(j->ctx, mark);
    }
    genai_optimizer_destroy(o);
    return result;
}

static genai_result genai__judge_test(genai_judge *j, genai_dataset *test, float *images, int *labels) {
    int          said[GENAI__JUDGE_BATCH], n, r;
    size_t       i, right = 0;
    genai_result result = GENAI_OK;
    for (i = 0; i < test->info.count && !result; i += (size_t)n) {
        n = test->info.count - i < GENAI__JUDGE_BATCH ? (int)(test->info.count - i) : GENAI__JUDGE_BATCH;
        result = genai_dataset_batch(test, -1, i, n, images, labels);
        if (!result) result = genai_judge_classify(j, n, images, said, NULL);
        for (r = 0; r < n && !result; r++) right += said[r] == labels[r];
    }
    j->info.accuracy = (double)right / (double)test->info.count;
    return result;
}

/* Fills in the defaults and what the judge will be. */
static genai_result genai__judge_check(genai_ctx *ctx, const genai_dataset *data, genai_judge_desc *d, genai_judge_info *info) {
    if (!data) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_judge_create: data is NULL");
    if (data->info.pairs) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_judge_create: a judge takes images, but the data are pairs");
    if (!d->steps) d->steps = 1500;
    if (!d->features) d->features = 64;
    if (d->features < 1 || d->features > GENAI__JUDGE_FEATURES || d->steps < -1 || d->steps > 1000000000)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_judge_create: %d features (1 to %d) in %ld steps (-1 to 1000000000)", d->features, GENAI__JUDGE_FEATURES, d->steps);
    if (d->steps > 0 && (data->info.classes < 2 || data->info.classes > GENAI__JUDGE_CLASSES || data->info.count < 2))
        return genai__fail(ctx, GENAI_ERROR_UNSUPPORTED, "a judge learns to tell classes apart, but the data has %zu images of %d classes (2 to %d): give labels, or a "
                           "folder with one folder for each class", data->info.count, data->info.classes, GENAI__JUDGE_CLASSES);
    const genai_judge_info fresh = {data->info.width, data->info.height, data->info.channels, d->steps > 0 ? data->info.classes : 1, d->features, -1};
    *info = fresh;
    return GENAI_OK;
}

GENAI_API genai_judge *genai_judge_create(genai_ctx *ctx, genai_dataset *data, const genai_judge_desc *desc) {
    genai_judge_desc d = GENAI__ZEROED;
    genai_judge_info info;
    if (desc) d = *desc;
    if (!ctx || ctx->result || genai__judge_check(ctx, data, &d, &info)) return NULL;
    float *images = (float *)genai__alloc(ctx, GENAI__JUDGE_BATCH * genai__dataset_bytes(data), sizeof *images);
    int *labels = (int *)genai__alloc(ctx, GENAI__JUDGE_BATCH, sizeof *labels);
    uint64_t seed = ctx->desc.seed;
    if (d.steps < 0) ctx->desc.seed = 0; /* all seeds have the same random one */
    genai_judge *j = images && labels ? genai__judge_make(ctx, &info, d.stream) : NULL;
    ctx->desc.seed = seed;
    genai_result result = j ? GENAI_OK : genai__result_of(ctx);
    genai__visit visit = genai__visit_begin(ctx);
    if (!result && d.steps > 0) result = genai__judge_train(j, data, d.steps, images, labels);
    if (!result && d.steps > 0 && data->test) result = genai__judge_test(j, data->test, images, labels);
    genai__visit_end(ctx, &visit);
    genai__free(ctx, images);
    genai__free(ctx, labels);
    if (result) return genai_judge_destroy(j), GENAI__NULL;
    return j;
}

/* --- its file: the sizes as metadata, from which the nets follow, and the nets' tensors --- */
static const struct { const char *key; size_t at; uint64_t most; } genai__judge_keys[] = {
    {"judge.width", offsetof(genai_judge_info, width), GENAI__IMAGE_SIDE}, {"judge.height", offsetof(genai_judge_info, height), GENAI__IMAGE_SIDE},
    {"judge.channels", offsetof(genai_judge_info, channels), 4}, {"judge.classes", offsetof(genai_judge_info, classes), GENAI__JUDGE_CLASSES},
    {"judge.features", offsetof(genai_judge_info, features), GENAI__JUDGE_FEATURES}};

/* Tensor i of its nets, NULL after the last. */
static genai_tensor *genai__judge_tensor(const genai_judge *j, int i) {
    int n = genai__net_tensor_count(j->body);
    return i < n ? genai__net_tensor(j->body, i) : i - n < genai__net_tensor_count(j->head) ? genai__net_tensor(j->head, i - n) : NULL;
}

GENAI_API genai_result genai_judge_save(genai_judge *j, const char *path) {
    genai_result   result = GENAI_ERROR_MEMORY;
    genai__entries e = GENAI__ZEROED;
    int            n = 0;
    if (!j) return GENAI_ERROR_ARGUMENT;
    while (genai__judge_tensor(j, n)) n++;
    e.entry = (genai__entry *)genai__alloc(j->ctx, (size_t)n, sizeof *e.entry);
    genai__metadata *md = (genai__metadata *)genai__alloc(j->ctx, 1, sizeof *md);
    if (e.entry && md) {
        genai__metadata_add(md, "version", GENAI_VERSION);
        for (size_t i = 0; i < GENAI__COUNT(genai__judge_keys); i++)
            genai__metadata_number(md, genai__judge_keys[i].key, (uint64_t)*(const int *)(const void *)((const char *)&j->info + genai__judge_keys[i].at));
        genai__metadata_number(md, "judge.tested", j->info.accuracy >= 0); /* millionths: a judge's word isn't finer */
        genai__metadata_number(md, "judge.accuracy", j->info.accuracy >= 0 ? (uint64_t)(1e6 * j->info.accuracy + 0.5) : 0);
        for (n = 0; genai__judge_tensor(j, n); n++) genai__entries_tensor(&e, genai__judge_tensor(j, n));
        result = genai__safetensors_write(j->ctx, path, e.n, e.entry, md->n, md->pair);
    }
    genai__free(j->ctx, e.entry);
    genai__free(j->ctx, md);
    return result;
}

static genai_result genai__judge_fill(genai_judge *j, const char *path, const genai__safetensors *file) {
    genai_tensor *t;
    for (int i = 0; (t = genai__judge_tensor(j, i)) != NULL; i++) {
        const genai__entry *e = genai__safetensors_find(file, t->name);
        genai_result        result = e ? genai__entry_finite(j->ctx, path, e) : GENAI_OK;
        if (!e || e->ndim != t->ndim || memcmp(e->dim, t->dim, (size_t)t->ndim * sizeof(int)))
            return genai__fail(j->ctx, GENAI_ERROR_FORMAT, "%s: tensor %s is missing or of another shape than this judge's", path, t->name);
        if (result) return result;
        memcpy(t->data, e->data, t->count * sizeof(float));
    }
    j->ctx->changes++;
    return GENAI_OK;
}

GENAI_API genai_judge *genai_judge_load(genai_ctx *ctx, const char *path) {
    genai__safetensors file;
    genai_judge_info   info = GENAI__ZEROED;
    genai_judge       *j = NULL;
    genai_result       result = GENAI_OK;
    uint64_t           value, tested = 0;
    if (!ctx || ctx->result || genai__safetensors_read(ctx, path, &file)) return NULL;
    if (!genai__safetensors_get(&file, "genai.judge.width"))
        result = genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: is a safetensors file, but not of a judge (its metadata has no genai.judge.width)", path);
    for (size_t i = 0; i < GENAI__COUNT(genai__judge_keys) && !result; i++) {
        result = genai__metadata_read(ctx, path, &file, genai__judge_keys[i].key, genai__judge_keys[i].most, &value);
        if (!result && !value) result = genai__fail(ctx, GENAI_ERROR_FORMAT, "%s: genai.%s in its metadata is 0", path, genai__judge_keys[i].key);
        *(int *)(void *)((char *)&info + genai__judge_keys[i].at) = (int)value;
    }
    if (!result) result = genai__metadata_read(ctx, path, &file, "judge.tested", 1, &tested);
    if (!result) result = genai__metadata_read(ctx, path, &file, "judge.accuracy", 1000000, &value);
    info.accuracy = tested ? (double)value / 1e6 : -1;
    if (!result) {
        j = genai__judge_make(ctx, &info, 0);
        result = j ? genai__judge_fill(j, path, &file) : genai__result_of(ctx);
    }
    genai__safetensors_free(ctx, &file);
    if (result) return genai_judge_destroy(j), GENAI__NULL;
    return j;
}

/* --- Frechet distance between the normal distributions that have the sets' means and covariances --- */
static double genai__dot(size_t n, const double *a, const double *b) {
    double s[4] = {0, 0, 0, 0};
    size_t i;
    for (i = 0; i + 4 <= n; i += 4) {
        s[0] += a[i] * b[i];
        s[1] += a[i + 1] * b[i + 1];
        s[2] += a[i + 2] * b[i + 2];
        s[3] += a[i + 3] * b[i + 3];
    }
    for (; i < n; i++) s[0] += a[i] * b[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* One-sided cyclic Jacobi (Hestenes 1958): rotates pairs of rows of a [n,n] until all are at right angles. Their lengths are
 * the singular values then. Of a symmetric matrix without negative eigenvalues row i has become l v, eigenvalue times vector. */
static void genai__jacobi(size_t n, double *a) {
    size_t p, q, i;
    int    sweep, turned = 1;
    for (sweep = 0; sweep < 60 && turned; sweep++) {
        double most = 0;
        for (turned = 0, p = 0; p < n; p++) {
            double x = genai__dot(n, a + p * n, a + p * n);
            if (x > most) most = x;
        }
        for (p = 0; p + 1 < n; p++)
            for (q = p + 1; q < n; q++) {
                double *x = a + p * n, *y = a + q * n, xx = genai__dot(n, x, x), yy = genai__dot(n, y, y), xy = genai__dot(n, x, y), z, t, c, s;
                if (xy * xy <= 1e-28 * xx * yy || (xx < yy ? xx : yy) <= 1e-30 * most) continue; /* at right angles, or nothing but rounding */
                z = (yy - xx) / (2 * xy);
                t = (z < 0 ? -1.0 : 1.0) / ((z < 0 ? -z : z) + sqrt(1 + z * z));
                c = 1 / sqrt(1 + t * t);
                s = c * t;
                for (i = 0; i < n; i++) {
                    double had = x[i];
                    x[i] = c * had - s * y[i];
                    y[i] = s * had + c * y[i];
                }
                turned = 1;
            }
    }
}

typedef struct genai__moments {
    const float *x;
    size_t       n, dim;
    double      *mean, *covariance; /* [dim], [dim,dim]; of n - 1, as usual */
} genai__moments;

static void genai__mean_row(void *arg, size_t i) {
    genai__moments *m = (genai__moments *)arg;
    double          sum = 0;
    for (size_t k = 0; k < m->n; k++) sum += (double)m->x[k * m->dim + i];
    m->mean[i] = sum / (double)m->n;
}
static void genai__covariance_row(void *arg, size_t i) {
    genai__moments *m = (genai__moments *)arg;
    double         *row = m->covariance + i * m->dim;
    for (size_t k = 0; k < m->n; k++) {
        const float *x = m->x + k * m->dim;
        double       xi = (double)x[i] - m->mean[i];
        for (size_t j = 0; j < m->dim; j++) row[j] += xi * ((double)x[j] - m->mean[j]);
    }
    for (size_t j = 0; j < m->dim; j++) row[j] /= (double)(m->n - 1);
}

/* tr (S S')^1/2 is the sum of the singular values of F F'^T for any F with F^T F = S (and F' likewise): the singular values of
 * a product need no product of covariances, whose small eigenvalues would drown. F's row i is l^1/2 v. */
static double genai__kl_gaussian(const genai__moments *m, const double *product) { /* product [i,j]: of row i of real's F, j of made's */
    size_t dim = m->dim, i, j;
    double sum = -(double)dim, least = 1e300, most = 0, l[2], along; /* of both sets' l */
    for (i = 0; i < dim; i++) {
        for (int k = 0; k < 2; k++) {
            l[k] = genai__dot(dim, m[k].covariance + i * dim, m[k].covariance + i * dim);
            least = l[k] < least ? l[k] : least;
            most = l[k] > most ? l[k] : most;
        }
        if (!(least > 1e-13 * most)) return -1;
        for (along = 0, j = 0; j < dim; j++) along += (m[0].mean[j] - m[1].mean[j]) * m[1].covariance[i * dim + j];
        sum += along * along / (l[1] * l[1]) + genai__log(l[1]) - genai__log(l[0]);
        for (j = 0; j < dim; j++) sum += product[j * dim + i] * product[j * dim + i] / (l[1] * l[1]); /* l_j (v_j v'_i)^2 / l'_i */
    }
    return sum > 0 ? sum / 2 : 0;
}

static genai_result genai__frechet(genai_ctx *ctx, const genai_measure_desc *d, genai_measures *out) {
    size_t         dim = (size_t)d->dim, square, i, j;
    double        *block, *product, sum = 0;
    genai__moments m[2];
    if (!genai__mul(dim, dim, &square) || !genai__mul(square, 3, &square) || !genai__add(square, 2 * dim, &square)) square = (size_t)-1;
    block = (double *)genai__alloc(ctx, square, sizeof *block);
    if (!block) return GENAI_ERROR_MEMORY;
    product = block + 2 * dim * (dim + 1);
    for (int k = 0; k < 2; k++) {
        m[k].x = k ? d->made : d->real;
        m[k].n = (size_t)(k ? d->made_count : d->real_count);
        m[k].dim = dim;
        m[k].mean = block + (size_t)k * dim * (dim + 1);
        m[k].covariance = m[k].mean + dim;
        if (m[k].n < dim + 1)
            genai__warn(ctx, "Frechet distance: %zu %s vectors of %zu values have no covariance of full rank; take %zu or more", m[k].n, k ? "made" : "real", dim, dim + 1);
        genai__for_rows(ctx, dim, m[k].n, genai__mean_row, &m[k]);
        genai__for_rows(ctx, dim, m[k].n * dim, genai__covariance_row, &m[k]);
        for (i = 0; i < dim; i++) sum += m[k].covariance[i * dim + i];
        genai__jacobi(dim, m[k].covariance);
        for (i = 0; i < dim; i++) {
            double *row = m[k].covariance + i * dim, root = sqrt(sqrt(genai__dot(dim, row, row)));
            for (j = 0; j < dim && root > 0; j++) row[j] /= root;
        }
    }
    for (i = 0; i < dim; i++) {
        double gap = m[0].mean[i] - m[1].mean[i];
        sum += gap * gap;
        for (j = 0; j < dim; j++) product[i * dim + j] = genai__dot(dim, m[0].covariance + i * dim, m[1].covariance + j * dim);
    }
    out->kl_gaussian = m[0].n > dim && m[1].n > dim ? genai__kl_gaussian(m, product) : -1;
    genai__jacobi(dim, product);
    for (i = 0; i < dim; i++) sum -= 2 * sqrt(genai__dot(dim, product + i * dim, product + i * dim));
    out->frechet = sum > 0 ? sum : 0;
    genai__free(ctx, block);
    return GENAI_OK;
}

/* --- neighbours: the distance from each row of a to each row of b --- */
#define GENAI__MOST_NEIGHBOURS 32 /* the largest k                                                                          */
#define GENAI__SCAN_ROWS 8   /* rows of a that a row of b is compared with, while it is in the cache                   */

typedef struct genai__scan {
    genai_ctx   *ctx;
    size_t       n, m, dim;
    const float *a, *b;
    int          self;           /* 1: b is a, and nobody is his own neighbour                                         */
    int          keep;           /* distances are squared; the smallest for each row of a:                             */
    float       *nearest;        /* [n,keep], rising                                                                   */
    int         *index;          /* [n], of the nearest; may be NULL                                                   */
    const float *radius;         /* [m,keep] of b, or NULL: then for each row of a is counted                          */
    int          k[2], *within;  /* [n,2]: how many rows of b have it within their k[0]th, k[1]th neighbour            */
} genai__scan;

static float genai__distance(const genai__kernels *kernels, size_t dim, const float *a, const float *b) {
    float  gap[1024], sum = 0;
    size_t i, n;
    for (i = 0; i < dim; i += n) {
        n = dim - i < GENAI__COUNT(gap) ? dim - i : GENAI__COUNT(gap);
        kernels->sub(n, a + i, 1, b + i, 1, gap);
        sum += kernels->sum_squares(n, gap);
    }
    return sum;
}

static void genai__scan_rows(void *arg, size_t group) {
    genai__scan *s = (genai__scan *)arg;
    size_t       from = group * GENAI__SCAN_ROWS, end = from + GENAI__SCAN_ROWS < s->n ? from + GENAI__SCAN_ROWS : s->n, i, j;
    int          had[GENAI__SCAN_ROWS] = {0}, at, r;
    for (j = 0; j < s->m; j++)
        for (i = from; i < end; i++) {
            float  d, *nearest = s->nearest + i * (size_t)s->keep;
            int   *found = &had[i - from];
            if (s->self && i == j) continue;
            d = genai__distance(s->ctx->kernels, s->dim, s->a + i * s->dim, s->b + j * s->dim);
            for (r = 0; r < 2 && s->radius; r++) s->within[2 * i + (size_t)r] += d < s->radius[j * (size_t)s->keep + (size_t)s->k[r] - 1];
            if (*found == s->keep && d >= nearest[s->keep - 1]) continue;
            if (*found < s->keep) ++*found;
            for (at = *found - 1; at > 0 && d < nearest[at - 1]; at--) nearest[at] = nearest[at - 1];
            nearest[at] = d;
            if (!at && s->index) s->index[i] = (int)j;
        }
}

static genai__scan genai__scan_of(genai_ctx *ctx, size_t n, const float *a, size_t m, const float *b, int dim, int keep, float *nearest) {
    genai__scan s = {ctx, n, m, (size_t)dim, a, b, 0, keep, nearest, NULL, NULL, {0, 0}, NULL};
    return s;
}

static void genai__scan_all(genai__scan *s) {
    genai__for_rows(s->ctx, (s->n + GENAI__SCAN_ROWS - 1) / GENAI__SCAN_ROWS, GENAI__SCAN_ROWS * s->m * s->dim, genai__scan_rows, s);
}

GENAI__INLINE int genai__moderate(float x) { return genai__finite(x) && x <= 1e15f && x >= -1e15f; } /* its square too is finite */

static genai_result genai__vectors_check(genai_ctx *ctx, const char *what, const char *which, int n, int least, int dim, const float *x) {
    size_t i, count;
    if (!x) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: the %s vectors are NULL", what, which);
    if (dim < 1) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: vectors of %d values", what, dim);
    if (n < least) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: there are %d %s vectors, at least %d are needed", what, n, which, least);
    if (!genai__mul((size_t)n, (size_t)dim, &count)) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: %d vectors of %d values don't fit into memory", what, n, dim);
    for (i = 0; i < count; i++)
        if (!genai__moderate(x[i]))
            return genai__fail(ctx, GENAI_ERROR_NONFINITE, "%s: value %zu of %s vector %zu is not finite, or beyond 1e15", what, i % (size_t)dim, which, i / (size_t)dim);
    return GENAI_OK;
}

GENAI_API genai_result genai_nearest(genai_ctx *ctx, int n, const float *a, int m, const float *b, int dim, int *index, float *distance) {
    if (!ctx) return GENAI_ERROR_ARGUMENT;
    GENAI__TRY(genai__vectors_check(ctx, "genai_nearest", "first", n, 1, dim, a));
    GENAI__TRY(genai__vectors_check(ctx, "genai_nearest", "second", m, 1, dim, b));
    float *nearest = distance ? distance : (float *)genai__alloc(ctx, (size_t)n, sizeof(float));
    if (!nearest) return GENAI_ERROR_MEMORY;
    genai__scan s = genai__scan_of(ctx, (size_t)n, a, (size_t)m, b, dim, 1, nearest);
    s.index = index;
    uint64_t mode = genai__fp_enter();
    genai__scan_all(&s);
    for (int i = 0; i < n; i++) nearest[i] = sqrtf(nearest[i]);
    genai__fp_leave(mode);
    if (!distance) genai__free(ctx, nearest);
    return GENAI_OK;
}

/* Naeem et al. 2020 have all four in one notation (sections 2 and 3); "<" and not "<=" is their code's. */
static genai_result genai__neighbours(genai_ctx *ctx, const genai_measure_desc *d, genai_measures *out) {
    genai__scan s[4]; /* real to real, made to made, made to real, real to made */
    size_t      n = (size_t)d->real_count, m = (size_t)d->made_count, inside = 0, around = 0, reached = 0, covered = 0, used = 0, i;
    double      logs = 0;
    int         keep = d->k > d->k_density ? d->k : d->k_density, k;
    float      *nearest = (float *)genai__alloc(ctx, 2 * (n + m), (size_t)keep * sizeof(float));
    int        *within = (int *)genai__alloc(ctx, n + m, 2 * sizeof(int));
    if (nearest && within) {
        for (k = 0; k < 4; k++) {
            int    a = k == 1 || k == 2, b = k % 2; /* 1: made */
            size_t at = k == 0 ? 0 : k == 1 ? n : k == 2 ? n + m : n + 2 * m;
            s[k] = genai__scan_of(ctx, a ? m : n, a ? d->made : d->real, b ? m : n, b ? d->made : d->real, d->dim, keep, nearest + (size_t)keep * at);
            s[k].self = k < 2;
            s[k].k[0] = d->k;
            s[k].k[1] = d->k_density;
            s[k].within = k == 2 ? within : within + 2 * m;
            if (k >= 2) s[k].radius = s[k - 2].nearest;
            genai__scan_all(&s[k]);
        }
        for (i = 0; i < m; i++) {
            inside += s[2].within[2 * i] > 0;
            around += (size_t)s[2].within[2 * i + 1];
        }
        for (i = 0; i < n; i++) {
            reached += s[3].within[2 * i] > 0;
            covered += s[3].nearest[i * (size_t)keep] < s[0].nearest[i * (size_t)keep + (size_t)d->k_density - 1];
            double rho = (double)s[0].nearest[i * (size_t)keep + (size_t)d->k - 1], nu = (double)s[3].nearest[i * (size_t)keep + (size_t)d->k - 1];
            if (rho > 0 && nu > 0) logs += genai__log(nu) - genai__log(rho), used++; /* both squared */
        }
        out->kl_nearest = used ? 0.5 * (double)d->dim * logs / (double)used + genai__log((double)m / (double)(n - 1)) : 0;
        out->precision = (double)inside / (double)m;
        out->recall = (double)reached / (double)n;
        out->density = (double)around / ((double)d->k_density * (double)m);
        out->coverage = (double)covered / (double)n;
    }
    genai__free(ctx, nearest);
    genai__free(ctx, within);
    return nearest && within ? GENAI_OK : GENAI_ERROR_MEMORY;
}

/* --- k-means (Lloyd 1982) from centres drawn by distance (Arthur and Vassilvitskii 2007): center [k,dim], cell [n] of each x --- */
static genai_result genai__kmeans(genai_ctx *ctx, size_t n, int dim, const float *x, int k, float *center, int *cell) {
    size_t  d = (size_t)dim, i, j;
    float  *nearest = (float *)genai__alloc(ctx, n, sizeof *nearest);
    double *sum = (double *)genai__alloc(ctx, (size_t)k, (d + 1) * sizeof *sum), total, left; /* and how many */
    for (int c = 0; c < k && nearest && sum; c++) {
        for (total = 0, i = 0; i < n; i++) total += (double)(nearest[i] = c ? nearest[i] : 1);
        left = total * genai__draw(0, GENAI__STREAM_MIXTURE, 1, 0, (uint32_t)c).w[0] / 4294967296.0;
        for (i = 0; i + 1 < n && left >= (double)nearest[i]; i++) left -= (double)nearest[i];
        memcpy(center + (size_t)c * d, x + i * d, d * sizeof *x);
        genai__scan s = genai__scan_of(ctx, n, x, (size_t)c + 1, center, dim, 1, nearest);
        genai__scan_all(&s);
    }
    for (int round = 0, moved = 1; round <= 30 && moved && nearest && sum; round++) {
        genai__scan s = genai__scan_of(ctx, n, x, (size_t)k, center, dim, 1, nearest);
        s.index = cell;
        genai__scan_all(&s);
        memset(sum, 0, (size_t)k * (d + 1) * sizeof *sum);
        for (i = 0; i < n; i++)
            for (j = 0; j <= d; j++) sum[(size_t)cell[i] * (d + 1) + j] += j < d ? (double)x[i * d + j] : 1;
        for (moved = 0, i = 0; i < (size_t)k * d && round < 30; i++) {
            double *of = sum + i / d * (d + 1);
            float   mean = of[d] > 0 ? (float)(of[i % d] / of[d]) : center[i]; /* an empty one stays */
            moved |= mean < center[i] || mean > center[i];
            center[i] = mean;
        }
    }
    genai__free(ctx, nearest);
    genai__free(ctx, sum);
    return nearest && sum ? GENAI_OK : GENAI_ERROR_MEMORY;
}

static double genai__entropy(double count, double n) { return count > 0 ? -count / n * genai__log(count / n) : 0; } /* one part of it */
static genai_result genai__histograms(genai_ctx *ctx, const genai_measure_desc *d, genai_measures *out) {
    size_t  n = (size_t)d->real_count, m = (size_t)d->made_count, i;
    float  *center = (float *)genai__alloc(ctx, (size_t)d->cells * (size_t)d->dim + m, sizeof *center);
    int    *cell = (int *)genai__alloc(ctx, n + m + 2 * (size_t)d->cells, sizeof *cell), *count = cell ? cell + n + m : NULL;
    genai_result result = center && cell ? genai__kmeans(ctx, n, d->dim, d->real, d->cells, center, cell) : GENAI_ERROR_MEMORY;
    if (!result) {
        genai__scan s = genai__scan_of(ctx, m, d->made, (size_t)d->cells, center, d->dim, 1, center + (size_t)d->cells * (size_t)d->dim);
        s.index = cell + n;
        genai__scan_all(&s);
        for (i = 0; i < n + m; i++) count[2 * cell[i] + (i >= n)]++;
        for (int c = 0; c < d->cells; c++) {
            double p = count[2 * c] / (double)n, q = count[2 * c + 1] / (double)m, more = 0.5 * d->cells;
            out->js_histogram += genai__entropy((p + q) / 2, 1) - genai__entropy(p, 1) / 2 - genai__entropy(q, 1) / 2;
            p = (count[2 * c] + 0.5) / ((double)n + more);
            out->kl_histogram += p * genai__log(p * ((double)m + more) / (count[2 * c + 1] + 0.5));
        }
    }
    genai__free(ctx, center);
    genai__free(ctx, cell);
    return result;
}

/* --- principal components: l v of X X' gives X' v / l^1/2, so that it is the number of images, not of pixels, that counts (Turk and
 * Pentland 1991) --- */
typedef struct genai__pca {
    size_t       n, dim, k;
    const float *x, *mean; /* [n,dim], [dim] and behind it the directions */
    float *y; double *gram;
} genai__pca;

static void genai__pca_row(void *arg, size_t i) { /* of the products of x - mean, or of places */
    const genai__pca *s = (const genai__pca *)arg;
    for (size_t a = 0; a < (s->gram ? s->n : s->k); a++) {
        double       sum = 0;
        const float *x = s->x + i * s->dim, *v = s->gram ? s->x + a * s->dim : s->mean + (a + 1) * s->dim;
        for (size_t j = 0; j < s->dim; j++) sum += ((double)x[j] - (double)s->mean[j]) * ((double)v[j] - (s->gram ? (double)s->mean[j] : 0));
        if (s->gram) s->gram[i * s->n + a] = sum;
        else s->y[i * s->k + a] = (float)sum;
    }
}

/* basis: wanted; else y, by the basis made. */
static genai_result genai__pca_run(genai_ctx *ctx, const char *what, int n, int dim, const float *x, int k, float *basis, const float *made, float *y) {
    size_t     d = (size_t)dim, a, b, j;
    genai__pca s = {(size_t)n, d, (size_t)k, x, made, y, NULL};
    if (!ctx) return GENAI_ERROR_ARGUMENT;
    if (!made || (!y && !basis) || k < 1 || k > dim || (basis && n > 2048))
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "%s: %d components of %d vectors (2048 at most) of %d values, or NULL", what, k, n, dim);
    GENAI__TRY(genai__vectors_check(ctx, what, "given", n, basis ? k + 1 : 1, dim, x));
    if (basis && !(s.gram = (double *)genai__alloc(ctx, s.n, s.n * sizeof(double)))) return GENAI_ERROR_MEMORY;
    uint64_t mode = genai__fp_enter();
    for (j = 0; j < d && basis; j++) {
        double sum = 0;
        for (a = 0; a < s.n; a++) sum += (double)x[a * d + j];
        basis[j] = (float)(sum / n);
    }
    genai__for_rows(ctx, s.n, d * s.k, genai__pca_row, &s);
    if (basis) genai__jacobi(s.n, s.gram);
    for (size_t c = 1; c <= s.k && basis; c++) { /* the longest row that is left, l v; |X' v|^2 = l */
        double most = 0, length;
        for (a = b = 0; a < s.n; a++)
            if ((length = genai__dot(s.n, s.gram + a * s.n, s.gram + a * s.n)) > most) most = length, b = a;
        for (j = 0; j < d; j++) {
            double sum = 0;
            for (a = 0; a < s.n; a++) sum += s.gram[b * s.n + a] * ((double)x[a * d + j] - (double)basis[j]);
            basis[c * d + j] = most > 0 ? (float)(sum / sqrt(most * sqrt(most))) : 0;
        }
        memset(s.gram + b * s.n, 0, s.n * sizeof *s.gram);
    }
    genai__fp_leave(mode);
    genai__free(ctx, s.gram);
    return GENAI_OK;
}

GENAI_API genai_result genai_pca(genai_ctx *ctx, int n, int dim, const float *x, int k, float *basis) {
    return genai__pca_run(ctx, "genai_pca", n, dim, x, k, basis, basis, NULL);
}
GENAI_API genai_result genai_pca_project(genai_ctx *ctx, int n, int dim, const float *x, int k, const float *basis, float *y) {
    return genai__pca_run(ctx, "genai_pca_project", n, dim, x, k, NULL, basis, y);
}

/* --- Parzen windows --- */
#define GENAI__PARZEN_SIGMAS 32

typedef struct genai__parzen { genai__scan scan; int sigmas; const double *sigma; double *value; } genai__parzen; /* of a among b */

/* A few rows share the made vectors while these are in the cache; sums of exp((nearest - d) / 2 sigma^2) as they pass by. */
static void genai__parzen_rows(void *arg, size_t group) {
    const genai__parzen *p = (const genai__parzen *)arg;
    const genai__scan   *s = &p->scan;
    size_t from = group * GENAI__SCAN_ROWS, rows = from + GENAI__SCAN_ROWS < s->n ? GENAI__SCAN_ROWS : s->n - from;
    double nearest[GENAI__SCAN_ROWS], sum[GENAI__SCAN_ROWS][GENAI__PARZEN_SIGMAS], scale[GENAI__PARZEN_SIGMAS];
    for (int k = 0; k < p->sigmas; k++) scale[k] = 0.5 / (p->sigma[k] * p->sigma[k]);
    for (size_t j = 0; j < s->m; j++)
        for (size_t i = 0; i < rows; i++) {
            double d = (double)genai__distance(s->ctx->kernels, s->dim, s->a + (from + i) * s->dim, s->b + j * s->dim), less = j ? d - nearest[i] : 0;
            if (!j || less < 0) nearest[i] = d;
            for (int k = 0; k < p->sigmas; k++)
                if (!j) sum[i][k] = 1;
                else if (less < 0) sum[i][k] = sum[i][k] * genai__exp(less * scale[k]) + 1;
                else if (less * scale[k] < 50) sum[i][k] += genai__exp(-less * scale[k]);
        }
    for (size_t i = 0; i < rows * (size_t)p->sigmas; i++) {
        size_t row = i / (size_t)p->sigmas, k = i % (size_t)p->sigmas;
        p->value[from * (size_t)p->sigmas + i] = genai__log(sum[row][k] / (double)s->m) - nearest[row] * scale[k] - (double)s->dim * (GENAI__HALF_LOG_2PI + genai__log(p->sigma[k]));
    }
}

GENAI_API genai_result genai_parzen(genai_ctx *ctx, int dim, int m, const float *made, int n, const float *x, int sigmas, const double *sigma, double *value) {
    genai__parzen p = {genai__scan_of(ctx, (size_t)n, x, (size_t)m, made, dim, 0, NULL), sigmas, sigma, value};
    int           good = sigma && value && sigmas >= 1 && sigmas <= GENAI__PARZEN_SIGMAS;
    if (!ctx) return GENAI_ERROR_ARGUMENT;
    for (int k = 0; good && k < sigmas; k++) good = sigma[k] >= 1e-6 && sigma[k] <= 1e6;
    if (!good) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_parzen: %d values of sigma (1 to %d), each from 1e-6 to 1e6; none and value not NULL", sigmas, GENAI__PARZEN_SIGMAS);
    GENAI__TRY(genai__vectors_check(ctx, "genai_parzen", "made", m, 1, dim, made));
    GENAI__TRY(genai__vectors_check(ctx, "genai_parzen", "given", n, 1, dim, x));
    uint64_t mode = genai__fp_enter();
    genai__for_rows(ctx, (p.scan.n + GENAI__SCAN_ROWS - 1) / GENAI__SCAN_ROWS, GENAI__SCAN_ROWS * p.scan.m * p.scan.dim, genai__parzen_rows, &p);
    genai__fp_leave(mode);
    return GENAI_OK;
}

/* --- pairs of images --- */
typedef struct genai__alike {
    int               w, h, c;
    const float      *image[2];
    float *half; double window[11]; genai_similarity *out; /* half [2,H,W,C] for each pair: both, shrunk in place from scale to scale */
} genai__alike;

/* Means over pixels and channels of SSIM and of its contrast-structure part, windows inside the image. */
static void genai__ssim(const genai__alike *s, int w, int h, const float *a, const float *b, double out[2]) {
    int    side = w < h ? w : h, k = side >= 11 ? 11 : side - (side + 1) % 2, places = (h - k + 1) * (w - k + 1) * s->c;
    double total = out[0] = out[1] = 0;
    for (int i = 0; i < k; i++) total += s->window[5 - k / 2 + i];
    for (int place = 0; place < places; place++) {
        int    x = place / s->c % (w - k + 1), y = place / s->c / (w - k + 1);
        double m[5] = {0, 0, 0, 0, 0}, cs; /* means of a, b, their squares, their product */
        for (int i = 0; i < k * k; i++) {
            int    at = ((y + i / k) * w + x + i % k) * s->c + place % s->c;
            double g = s->window[5 - k / 2 + i / k] * s->window[5 - k / 2 + i % k] / (total * total), p = (double)a[at], q = (double)b[at];
            const double term[5] = {p, q, p * p, q * q, p * q};
            for (int t = 0; t < 5; t++) m[t] += g * term[t];
        }
        cs = (2 * (m[4] - m[0] * m[1]) + 9e-4) / (m[2] - m[0] * m[0] + m[3] - m[1] * m[1] + 9e-4); /* (0.03 L)^2, (0.01 L)^2, L = 1 */
        out[0] += cs * (2 * m[0] * m[1] + 1e-4) / (m[0] * m[0] + m[1] * m[1] + 1e-4) / places;
        out[1] += cs / places;
    }
}

static void genai__alike_row(void *arg, size_t row) {
    static const double weight[5] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
    const genai__alike *s = (const genai__alike *)arg;
    int               w = s->w, h = s->h, scales = 1, at;
    size_t            pixels = (size_t)(w * h * s->c), i;
    float            *image[2] = {s->half + 2 * row * pixels, s->half + (2 * row + 1) * pixels};
    double            part[2], weights = weight[0], made = 0;
    genai_similarity *to = &s->out[row];
    for (int k = 0; k < 2; k++) memcpy(image[k], s->image[k] + row * pixels, pixels * sizeof(float));
    for (to->mse = 0, i = 0; i < pixels; i++) to->mse += ((double)image[0][i] - (double)image[1][i]) * ((double)image[0][i] - (double)image[1][i]);
    to->mse /= (double)pixels;
    to->psnr = to->mse > 1e-10 ? -10 / 2.302585092994045684 * genai__log(to->mse) : 100;
    for (; scales < 5 && (w < h ? w : h) >> scales >= 11; scales++) weights += weight[scales];
    for (int k = 0; k < scales; k++, w /= 2, h /= 2) {
        genai__ssim(s, w, h, image[0], image[1], part);
        if (!k) to->ssim = part[0];
        made += part[k < scales - 1] > 1e-300 ? weight[k] / weights * genai__log(part[k < scales - 1]) : -1e300;
        for (int j = 0; j < 2 && k + 1 < scales; j++)
            for (at = 0; at < (w / 2) * (h / 2) * s->c; at++) {
                const float *p = image[j] + (2 * (at / s->c / (w / 2)) * w + 2 * (at / s->c % (w / 2))) * s->c + at % s->c;
                image[j][at] = 0.25f * ((p[0] + p[s->c]) + (p[w * s->c] + p[(w + 1) * s->c]));
            }
    }
    to->ms_ssim = genai__exp(made);
}

GENAI_API genai_result genai_similarities(genai_ctx *ctx, int n, int width, int height, int channels, const float *a, const float *b, genai_similarity *out) {
    if (!ctx) return GENAI_ERROR_ARGUMENT;
    if (!out || width < 1 || height < 1 || width > GENAI__IMAGE_SIDE || height > GENAI__IMAGE_SIDE || channels < 1 || channels > 4)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_similarities: %s", out ? "images have 1 to 4096 pixels a side and 1 to 4 channels" : "out is NULL");
    for (int k = 0; k < 2; k++) GENAI__TRY(genai__vectors_check(ctx, "genai_similarities", k ? "second" : "first", n, 1, width * height * channels, k ? b : a));
    size_t       pixels = (size_t)(width * height * channels);
    genai__alike s = {width, height, channels, {a, b}, NULL, {0}, out};
    s.half = (float *)genai__alloc(ctx, 2 * GENAI__PORTION, pixels * sizeof(float));
    if (!s.half) return GENAI_ERROR_MEMORY;
    uint64_t mode = genai__fp_enter();
    for (int i = 0; i < 11; i++) s.window[i] = genai__exp(-(i - 5) * (i - 5) / 4.5);
    for (int i = 0; i < n; i += GENAI__PORTION, s.image[0] += GENAI__PORTION * pixels, s.image[1] += GENAI__PORTION * pixels, s.out += GENAI__PORTION)
        genai__for_rows(ctx, (size_t)genai__portion(i, n), 1000 * pixels, genai__alike_row, &s);
    genai__fp_leave(mode);
    genai__free(ctx, s.half);
    return GENAI_OK;
}

/* --- what vectors know of classes --- */
static void genai__solve(size_t n, double *a, size_t m, double *b) { /* a [n,n] positive definite becomes its Cholesky factor, b [m,n] row by row a^-1 b */
    size_t i, j, k;
    for (i = 0; i < n; i++)
        for (j = 0; j <= i; j++) {
            double sum = a[i * n + j] - genai__dot(j, a + i * n, a + j * n);
            a[i * n + j] = i > j ? sum / a[j * n + j] : sqrt(sum);
        }
    for (k = 0; k < m; k++, b += n) {
        for (i = 0; i < n; i++) b[i] = (b[i] - genai__dot(i, a + i * n, b)) / a[i * n + i];
        for (i = n; i-- > 0;) {
            b[i] /= a[i * n + i];
            for (j = 0; j < i; j++) b[j] -= a[i * n + j] * b[i];
        }
    }
}

static genai_result genai__probe_linear(genai_ctx *ctx, const genai_probe_desc *d, double *accuracy) {
    size_t  dim = (size_t)d->dim, n = (size_t)d->train_count, classes = (size_t)d->classes, count, i, j, c, said, right = 0;
    if (!genai__mul(dim + classes + 2, dim + 1, &count)) count = (size_t)-1;
    double *mean = (double *)genai__alloc(ctx, count, sizeof *mean);
    if (!mean) return GENAI_ERROR_MEMORY;
    double *a = mean + dim, *scale = a + dim * dim, *weight = scale + dim, *base = weight + classes * dim;
    genai__moments m = {d->train, n, dim, mean, a};
    genai__for_rows(ctx, dim, n, genai__mean_row, &m);
    genai__for_rows(ctx, dim, n * dim, genai__covariance_row, &m);
    for (i = 0; i < dim; i++) scale[i] = a[i * dim + i] > 0 ? sqrt((double)n / (a[i * dim + i] * (double)(n - 1))) : 0; /* 0: constant, says nothing */
    for (i = 0; i < dim; i++)
        for (j = 0; j < dim; j++) a[i * dim + j] = a[i * dim + j] * scale[i] * scale[j] * (double)(n - 1) + (i == j);
    for (c = 0; c < classes; c++) base[c] = -1; /* the targets' means; against what they are without them z has product 0 */
    for (i = 0; i < n; i++) {
        c = (size_t)d->train_labels[i];
        base[c] += 2 / (double)n;
        for (j = 0; j < dim; j++) weight[c * dim + j] += 2 * ((double)d->train[i * dim + j] - mean[j]) * scale[j];
    }
    genai__solve(dim, a, classes, weight);
    for (i = 0; i < (size_t)d->test_count; i++) {
        double best = 0, sum;
        for (said = c = 0; c < classes; c++) {
            for (sum = base[c], j = 0; j < dim; j++) sum += ((double)d->test[i * dim + j] - mean[j]) * scale[j] * weight[c * dim + j];
            if (!c || sum > best) best = sum, said = c;
        }
        right += said == (size_t)d->test_labels[i];
    }
    *accuracy = (double)right / d->test_count;
    genai__free(ctx, mean);
    return GENAI_OK;
}

static genai_result genai__probe_clusters(genai_ctx *ctx, const genai_probe_desc *d, genai_probe_result *out) {
    size_t k = (size_t)d->classes, n = (size_t)d->test_count, i;
    float *center = (float *)genai__alloc(ctx, k, (size_t)d->dim * sizeof *center);
    int   *cell = (int *)genai__alloc(ctx, n + k * (k + 2), sizeof *cell), *count = cell ? cell + n : NULL; /* [cell,class], of cells, of classes */
    double joint = 0, each = 0;
    genai_result result = center && cell ? genai__kmeans(ctx, n, d->dim, d->test, d->classes, center, cell) : GENAI_ERROR_MEMORY;
    for (i = 0; i < n && !result; i++) {
        count[(size_t)cell[i] * k + (size_t)d->test_labels[i]]++;
        count[k * k + (size_t)cell[i]]++;
        count[k * (k + 1) + (size_t)d->test_labels[i]]++;
    }
    for (i = 0; i < k * k && !result; i++) {
        int most = 0;
        for (size_t j = 0; j < k && i % k == 0; j++) most = count[i + j] > most ? count[i + j] : most;
        out->purity += most / (double)n;
        joint += genai__entropy(count[i], (double)n);
    }
    for (i = 0; i < 2 * k && !result; i++) each += genai__entropy(count[k * k + i], (double)n);
    out->nmi = each > 0 ? 2 * (each - joint) / each : 1;
    genai__free(ctx, center);
    genai__free(ctx, cell);
    return result;
}

GENAI_API genai_result genai_probe(genai_ctx *ctx, const genai_probe_desc *d, genai_probe_result *out) {
    genai_probe_result made = GENAI__ZEROED;
    if (!ctx) return GENAI_ERROR_ARGUMENT;
    if (!d || !out || !d->train_labels || !d->test_labels || d->classes < 2 || d->classes > 4096)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_probe: there must be 2 to 4096 classes, and desc, its labels and out not NULL");
    GENAI__TRY(genai__vectors_check(ctx, "genai_probe", "train", d->train_count, 2, d->dim, d->train));
    GENAI__TRY(genai__vectors_check(ctx, "genai_probe", "test", d->test_count, d->classes, d->dim, d->test));
    for (int i = 0, label; i < d->train_count + d->test_count; i++)
        if ((label = i < d->train_count ? d->train_labels[i] : d->test_labels[i - d->train_count]) < 0 || label >= d->classes)
            return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_probe: label %d, of %d classes", label, d->classes);
    uint64_t mode = genai__fp_enter();
    genai_result result = genai__probe_linear(ctx, d, &made.accuracy);
    if (!result) result = genai__probe_clusters(ctx, d, &made);
    genai__fp_leave(mode);
    if (!result) *out = made;
    return result;
}

/* --- kernel distance --- */
typedef struct genai__kernel_job {
    size_t       m, dim;
    const float *a, *b;
    int          self; /* 1: b is a: each pair counts once, and nobody is compared with himself, which would be a bias */
    double      *sum;  /* for each row of a */
} genai__kernel_job;

static void genai__kernel_row(void *arg, size_t i) {
    const genai__kernel_job *s = (const genai__kernel_job *)arg;
    const float             *a = s->a + i * s->dim;
    double                   total = 0;
    size_t                   m = s->self ? i : s->m, j, k;
    for (j = 0; j < m; j++) {
        const float *b = s->b + j * s->dim;
        double       dot[4] = {0, 0, 0, 0}, x;
        for (k = 0; k + 4 <= s->dim; k += 4) {
            dot[0] += (double)a[k] * (double)b[k];
            dot[1] += (double)a[k + 1] * (double)b[k + 1];
            dot[2] += (double)a[k + 2] * (double)b[k + 2];
            dot[3] += (double)a[k + 3] * (double)b[k + 3];
        }
        for (; k < s->dim; k++) dot[0] += (double)a[k] * (double)b[k];
        x = ((dot[0] + dot[1]) + (dot[2] + dot[3])) / (double)s->dim + 1;
        total += x * x * x;
    }
    s->sum[i] = total;
}

static genai_result genai__kernel_distance(genai_ctx *ctx, const genai_measure_desc *d, double *distance) {
    size_t            n = (size_t)d->real_count, m = (size_t)d->made_count, rows, i;
    double            mean[3];
    genai__kernel_job s;
    s.dim = (size_t)d->dim;
    s.sum = (double *)genai__alloc(ctx, n > m ? n : m, sizeof(double));
    if (!s.sum) return GENAI_ERROR_MEMORY;
    for (int k = 0; k < 3; k++) { /* real with real, made with made, real with made */
        s.a = k == 1 ? d->made : d->real;
        s.b = k ? d->made : d->real;
        rows = k == 1 ? m : n;
        s.m = k ? m : n;
        s.self = k < 2;
        genai__for_rows(ctx, rows, s.m * s.dim, genai__kernel_row, &s);
        for (mean[k] = 0, i = 0; i < rows; i++) mean[k] += s.sum[i];
        mean[k] /= k == 2 ? (double)rows * (double)s.m : 0.5 * (double)rows * (double)(rows - 1);
    }
    *distance = mean[0] + mean[1] - 2 * mean[2];
    genai__free(ctx, s.sum);
    return GENAI_OK;
}

GENAI_API genai_result genai_measure(genai_ctx *ctx, const genai_measure_desc *desc, genai_measures *out) {
    genai_measures measures = GENAI__ZEROED;
    if (!ctx) return GENAI_ERROR_ARGUMENT;
    if (!desc || !out) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_measure: %s is NULL", desc ? "out" : "desc");
    genai_measure_desc d = *desc;
    if (!d.k) d.k = 3;
    if (!d.k_density) d.k_density = 5;
    if (d.k < 1 || d.k > GENAI__MOST_NEIGHBOURS || d.k_density < 1 || d.k_density > GENAI__MOST_NEIGHBOURS)
        return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_measure: k is %d and k_density %d, but both must be from 1 to %d", d.k, d.k_density, GENAI__MOST_NEIGHBOURS);
    int least = (d.k > d.k_density ? d.k : d.k_density) + 1;
    GENAI__TRY(genai__vectors_check(ctx, "genai_measure", "real", d.real_count, least, d.dim, d.real));
    GENAI__TRY(genai__vectors_check(ctx, "genai_measure", "made", d.made_count, least, d.dim, d.made));
    if (d.cells < 0 || d.cells > 65536) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_measure: %d cells, but there must be 1 to 65536", d.cells);
    if (!d.cells) d.cells = d.real_count < 16 ? 2 : d.real_count < 400 ? d.real_count / 8 : 50;
    if (d.cells > d.real_count) return genai__fail(ctx, GENAI_ERROR_ARGUMENT, "genai_measure: %d cells for %d real vectors", d.cells, d.real_count);
    uint64_t mode = genai__fp_enter();
    genai_result result = genai__frechet(ctx, &d, &measures);
    if (!result) result = genai__neighbours(ctx, &d, &measures);
    if (!result) result = genai__kernel_distance(ctx, &d, &measures.kernel);
    if (!result) result = genai__histograms(ctx, &d, &measures);
    genai__fp_leave(mode);
    if (!result) *out = measures;
    return result;
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

/* The user's own flags hold again. */
#if defined(__clang__)
#if __clang_major__ >= 14 && defined(__x86_64__)
#pragma float_control(pop)
#endif
#pragma STDC FP_CONTRACT DEFAULT
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif /* GENAI_IMPLEMENTATION */

#ifdef GENAI__PASS
/* ====================================================================================================================
 * >>kernel_bodies (private)
 * Included once per instruction set from >>kernels, inside that set's target region. First the vocabulary: GENAI__V is 16 floats
 * whatever the registers, GENAI__W is one register (for the matrix tiles). Then each kernel once. Compiler macros such as __AVX2__
 * are not tested here, since clang doesn't set them inside a region: GENAI__PASS alone says where we are.
 * ================================================================================================================= */
#define GENAI__PASTE2(a, b) a##b
#define GENAI__PASTE(a, b) GENAI__PASTE2(a, b)
#define GENAI__K(name) GENAI__PASTE(genai__##name, GENAI__SUFFIX)
#define GENAI__V GENAI__K(v)
#define GENAI__W GENAI__K(w)

#if GENAI__PASS == 1 /* --- scalar; nothing is inlined: 16 lanes of everything would take gcc a minute --- */
#define GENAI__WORD static GENAI__NOINLINE
#define GENAI__SUFFIX _scalar
#define GENAI__ISA GENAI_ISA_SCALAR
typedef struct { float v[16]; } GENAI__V;
typedef float GENAI__W;
#define GENAI__W_LANES 1
#define GENAI__W_LOAD(p) (*(p))
#define GENAI__W_STORE(p, a) (*(p) = (a))
#define GENAI__W_SET(x) (x)
#define GENAI__W_FMA(a, b, c) fmaf(a, b, c)
#define GENAI__LANES(name, arguments, expression) \
    GENAI__WORD GENAI__V GENAI__K(name) arguments { GENAI__V r; int i; for (i = 0; i < 16; i++) r.v[i] = (expression); return r; }
GENAI__WORD GENAI__V GENAI__K(load)(const float *p) { GENAI__V r; memcpy(&r, p, sizeof r); return r; }
GENAI__WORD void GENAI__K(store)(float *p, GENAI__V a) { memcpy(p, &a, sizeof a); }
GENAI__LANES(set, (float x), x)
GENAI__LANES(add, (GENAI__V a, GENAI__V b), a.v[i] + b.v[i])
GENAI__LANES(sub, (GENAI__V a, GENAI__V b), a.v[i] - b.v[i])
GENAI__LANES(mul, (GENAI__V a, GENAI__V b), a.v[i] * b.v[i])
GENAI__LANES(div, (GENAI__V a, GENAI__V b), a.v[i] / b.v[i])
GENAI__LANES(fma, (GENAI__V a, GENAI__V b, GENAI__V c), fmaf(a.v[i], b.v[i], c.v[i]))
GENAI__LANES(fnma, (GENAI__V a, GENAI__V b, GENAI__V c), fmaf(-a.v[i], b.v[i], c.v[i]))
GENAI__LANES(sqrt, (GENAI__V a), sqrtf(a.v[i]))
GENAI__WORD GENAI__V GENAI__K(if_gt)(GENAI__V a, GENAI__V b, GENAI__V x, GENAI__V y) { /* by bits: minss would flush denormals */
    GENAI__V r;
    for (int i = 0; i < 16; i++) {
        uint32_t mask = 0u - (uint32_t)(a.v[i] > b.v[i]);
        r.v[i] = genai__float_of((genai__bits_of(x.v[i]) & mask) | (genai__bits_of(y.v[i]) & ~mask));
    }
    return r;
}
GENAI__LANES(bits, (GENAI__V a, uint32_t keep, uint32_t flip), genai__float_of((genai__bits_of(a.v[i]) & keep) ^ flip))
GENAI__LANES(shift_add, (GENAI__V a, uint32_t add), genai__float_of((genai__bits_of(a.v[i]) << 23) + add))
GENAI__WORD GENAI__V GENAI__K(split)(GENAI__V a, GENAI__V *exponent) { /* a = mantissa in [sqrt 1/2, sqrt 2) times 2^exponent */
    GENAI__V r;
    for (int i = 0; i < 16; i++) {
        uint32_t u = genai__bits_of(a.v[i]);
        int32_t  e = (int32_t)(u - 0x3f3504f3u) >> 23;
        exponent->v[i] = (float)e;
        r.v[i] = genai__float_of(u - ((uint32_t)e << 23));
    }
    return r;
}
GENAI__LANES(quads, (const float *p, size_t step), p[(size_t)(i / 4) * step + (size_t)(i % 4)]) /* four floats at each of p, p+step, p+2*step, p+3*step */
GENAI__WORD void GENAI__K(turn)(GENAI__V *a) { /* in each group of four lanes: the 4x4 matrix of a[0..3], transposed */
    GENAI__V r[4]; int i, j;
    for (j = 0; j < 4; j++) for (i = 0; i < 16; i++) r[j].v[i] = a[i % 4].v[i / 4 * 4 + j];
    memcpy(a, r, sizeof r);
}

#elif GENAI__PASS == 2 /* --- AVX2 and FMA: a pair of 8-lane registers --- */
#define GENAI__SUFFIX _avx2
#define GENAI__ISA GENAI_ISA_AVX2
typedef struct { __m256 a, b; } GENAI__V;
typedef __m256 GENAI__W;
#define GENAI__W_LANES 8
#define GENAI__W_LOAD(p) _mm256_loadu_ps(p)
#define GENAI__W_STORE(p, a) _mm256_storeu_ps(p, a)
#define GENAI__W_SET(x) _mm256_set1_ps(x)
#define GENAI__W_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define GENAI__PAIR(name, arguments, first, second) GENAI__INLINE GENAI__V GENAI__K(name) arguments { GENAI__V r; r.a = first; r.b = second; return r; }
GENAI__PAIR(load, (const float *p), _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8))
GENAI__INLINE void GENAI__K(store)(float *p, GENAI__V a) { _mm256_storeu_ps(p, a.a); _mm256_storeu_ps(p + 8, a.b); }
GENAI__PAIR(set, (float x), _mm256_set1_ps(x), _mm256_set1_ps(x))
GENAI__PAIR(add, (GENAI__V a, GENAI__V b), a.a + b.a, a.b + b.b)
GENAI__PAIR(sub, (GENAI__V a, GENAI__V b), a.a - b.a, a.b - b.b)
GENAI__PAIR(mul, (GENAI__V a, GENAI__V b), a.a * b.a, a.b * b.b)
GENAI__PAIR(div, (GENAI__V a, GENAI__V b), a.a / b.a, a.b / b.b)
GENAI__PAIR(fma, (GENAI__V a, GENAI__V b, GENAI__V c), _mm256_fmadd_ps(a.a, b.a, c.a), _mm256_fmadd_ps(a.b, b.b, c.b))
GENAI__PAIR(fnma, (GENAI__V a, GENAI__V b, GENAI__V c), _mm256_fnmadd_ps(a.a, b.a, c.a), _mm256_fnmadd_ps(a.b, b.b, c.b))
GENAI__PAIR(sqrt, (GENAI__V a), _mm256_sqrt_ps(a.a), _mm256_sqrt_ps(a.b))
/* The mask passes through an empty asm: clang would make a minimum or maximum of compare and blend, which flushes denormals. */
GENAI__INLINE __m256 GENAI__K(choose)(__m256 a, __m256 b, __m256 x, __m256 y) {
    __m256 mask = _mm256_cmp_ps(a, b, _CMP_GT_OQ);
    __asm__("" : "+x"(mask));
    return _mm256_blendv_ps(y, x, mask);
}
GENAI__PAIR(if_gt, (GENAI__V a, GENAI__V b, GENAI__V x, GENAI__V y), GENAI__K(choose)(a.a, b.a, x.a, y.a), GENAI__K(choose)(a.b, b.b, x.b, y.b))
GENAI__INLINE __m256 GENAI__K(bits1)(__m256 a, uint32_t keep, uint32_t flip) {
    __m256i u = _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32((int)keep));
    return _mm256_castsi256_ps(_mm256_xor_si256(u, _mm256_set1_epi32((int)flip)));
}
GENAI__PAIR(bits, (GENAI__V a, uint32_t keep, uint32_t flip), GENAI__K(bits1)(a.a, keep, flip), GENAI__K(bits1)(a.b, keep, flip))
GENAI__INLINE __m256 GENAI__K(shift_add1)(__m256 a, uint32_t add) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(a), 23), _mm256_set1_epi32((int)add)));
}
GENAI__PAIR(shift_add, (GENAI__V a, uint32_t add), GENAI__K(shift_add1)(a.a, add), GENAI__K(shift_add1)(a.b, add))
GENAI__INLINE __m256 GENAI__K(split1)(__m256 a, __m256 *exponent) {
    __m256i u = _mm256_castps_si256(a), e = _mm256_srai_epi32(_mm256_sub_epi32(u, _mm256_set1_epi32(0x3f3504f3)), 23);
    *exponent = _mm256_cvtepi32_ps(e);
    return _mm256_castsi256_ps(_mm256_sub_epi32(u, _mm256_slli_epi32(e, 23)));
}
GENAI__PAIR(split, (GENAI__V a, GENAI__V *exponent), GENAI__K(split1)(a.a, &exponent->a), GENAI__K(split1)(a.b, &exponent->b))
GENAI__INLINE __m256 GENAI__K(two)(const float *p, const float *q) { return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(q), 1); }
GENAI__PAIR(quads, (const float *p, size_t step), GENAI__K(two)(p, p + step), GENAI__K(two)(p + 2 * step, p + 3 * step))
GENAI__INLINE void GENAI__K(turn1)(__m256 *a, __m256 *b, __m256 *c, __m256 *d) {
    __m256 ab = _mm256_unpacklo_ps(*a, *b), AB = _mm256_unpackhi_ps(*a, *b), cd = _mm256_unpacklo_ps(*c, *d), CD = _mm256_unpackhi_ps(*c, *d);
    *a = _mm256_shuffle_ps(ab, cd, 0x44);
    *b = _mm256_shuffle_ps(ab, cd, 0xee);
    *c = _mm256_shuffle_ps(AB, CD, 0x44);
    *d = _mm256_shuffle_ps(AB, CD, 0xee);
}
GENAI__INLINE void GENAI__K(turn)(GENAI__V *v) {
    GENAI__K(turn1)(&v[0].a, &v[1].a, &v[2].a, &v[3].a);
    GENAI__K(turn1)(&v[0].b, &v[1].b, &v[2].b, &v[3].b);
}

#elif GENAI__PASS == 3 /* --- AVX-512F: one register --- */
#define GENAI__SUFFIX _avx512
#define GENAI__ISA GENAI_ISA_AVX512
typedef __m512 GENAI__V;
typedef __m512 GENAI__W;
#define GENAI__W_LANES 16
#define GENAI__W_LOAD(p) _mm512_loadu_ps(p)
#define GENAI__W_STORE(p, a) _mm512_storeu_ps(p, a)
#define GENAI__W_SET(x) _mm512_set1_ps(x)
#define GENAI__W_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
GENAI__INLINE GENAI__V GENAI__K(load)(const float *p) { return _mm512_loadu_ps(p); }
GENAI__INLINE void GENAI__K(store)(float *p, GENAI__V a) { _mm512_storeu_ps(p, a); }
GENAI__INLINE GENAI__V GENAI__K(set)(float x) { return _mm512_set1_ps(x); }
GENAI__INLINE GENAI__V GENAI__K(add)(GENAI__V a, GENAI__V b) { return a + b; }
GENAI__INLINE GENAI__V GENAI__K(sub)(GENAI__V a, GENAI__V b) { return a - b; }
GENAI__INLINE GENAI__V GENAI__K(mul)(GENAI__V a, GENAI__V b) { return a * b; }
GENAI__INLINE GENAI__V GENAI__K(div)(GENAI__V a, GENAI__V b) { return a / b; }
GENAI__INLINE GENAI__V GENAI__K(fma)(GENAI__V a, GENAI__V b, GENAI__V c) { return _mm512_fmadd_ps(a, b, c); }
GENAI__INLINE GENAI__V GENAI__K(fnma)(GENAI__V a, GENAI__V b, GENAI__V c) { return _mm512_fnmadd_ps(a, b, c); }
GENAI__INLINE GENAI__V GENAI__K(sqrt)(GENAI__V a) { return _mm512_maskz_sqrt_ps((__mmask16)-1, a); }
GENAI__INLINE GENAI__V GENAI__K(if_gt)(GENAI__V a, GENAI__V b, GENAI__V x, GENAI__V y) {
    __mmask16 mask = _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
    __asm__("" : "+Yk"(mask)); /* as in the AVX2 pass */
    return _mm512_mask_blend_ps(mask, y, x);
}
GENAI__INLINE GENAI__V GENAI__K(bits)(GENAI__V a, uint32_t keep, uint32_t flip) {
    __m512i u = _mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32((int)keep));
    return _mm512_castsi512_ps(_mm512_xor_si512(u, _mm512_set1_epi32((int)flip)));
}
GENAI__INLINE GENAI__V GENAI__K(shift_add)(GENAI__V a, uint32_t add) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_maskz_slli_epi32((__mmask16)-1, _mm512_castps_si512(a), 23), _mm512_set1_epi32((int)add)));
}
GENAI__INLINE GENAI__V GENAI__K(split)(GENAI__V a, GENAI__V *exponent) {
    __m512i u = _mm512_castps_si512(a), e = _mm512_maskz_srai_epi32((__mmask16)-1, _mm512_sub_epi32(u, _mm512_set1_epi32(0x3f3504f3)), 23);
    *exponent = _mm512_maskz_cvtepi32_ps((__mmask16)-1, e);
    return _mm512_castsi512_ps(_mm512_sub_epi32(u, _mm512_maskz_slli_epi32((__mmask16)-1, e, 23)));
}
GENAI__INLINE GENAI__V GENAI__K(quads)(const float *p, size_t step) {
    __m512 r = _mm512_maskz_broadcast_f32x4((__mmask16)-1, _mm_loadu_ps(p));
    r = _mm512_mask_broadcast_f32x4(r, 0x00f0, _mm_loadu_ps(p + step));
    r = _mm512_mask_broadcast_f32x4(r, 0x0f00, _mm_loadu_ps(p + 2 * step));
    return _mm512_mask_broadcast_f32x4(r, 0xf000, _mm_loadu_ps(p + 3 * step));
}
GENAI__INLINE void GENAI__K(turn)(GENAI__V *v) {
    const __mmask16 all = (__mmask16)-1; /* gcc 12 warns of the plain forms */
    __m512 ab = _mm512_maskz_unpacklo_ps(all, v[0], v[1]), AB = _mm512_maskz_unpackhi_ps(all, v[0], v[1]);
    __m512 cd = _mm512_maskz_unpacklo_ps(all, v[2], v[3]), CD = _mm512_maskz_unpackhi_ps(all, v[2], v[3]);
    v[0] = _mm512_maskz_shuffle_ps(all, ab, cd, 0x44);
    v[1] = _mm512_maskz_shuffle_ps(all, ab, cd, 0xee);
    v[2] = _mm512_maskz_shuffle_ps(all, AB, CD, 0x44);
    v[3] = _mm512_maskz_shuffle_ps(all, AB, CD, 0xee);
}

#elif GENAI__PASS == 4 /* --- NEON: four 4-lane registers --- */
#define GENAI__SUFFIX _neon
#define GENAI__ISA GENAI_ISA_NEON
typedef struct { float32x4_t v[4]; } GENAI__V;
typedef float32x4_t GENAI__W;
#define GENAI__W_LANES 4
#define GENAI__W_LOAD(p) vld1q_f32(p)
#define GENAI__W_STORE(p, a) vst1q_f32(p, a)
#define GENAI__W_SET(x) vdupq_n_f32(x)
#define GENAI__W_FMA(a, b, c) vfmaq_f32(c, a, b)
#define GENAI__QUAD(name, arguments, expression) \
    GENAI__INLINE GENAI__V GENAI__K(name) arguments { GENAI__V r; int i; GENAI__UNROLL for (i = 0; i < 4; i++) r.v[i] = (expression); return r; }
GENAI__QUAD(load, (const float *p), vld1q_f32(p + 4 * i))
GENAI__INLINE void GENAI__K(store)(float *p, GENAI__V a) { int i; GENAI__UNROLL for (i = 0; i < 4; i++) vst1q_f32(p + 4 * i, a.v[i]); }
GENAI__QUAD(set, (float x), vdupq_n_f32(x))
GENAI__QUAD(add, (GENAI__V a, GENAI__V b), a.v[i] + b.v[i])
GENAI__QUAD(sub, (GENAI__V a, GENAI__V b), a.v[i] - b.v[i])
GENAI__QUAD(mul, (GENAI__V a, GENAI__V b), a.v[i] * b.v[i])
GENAI__QUAD(div, (GENAI__V a, GENAI__V b), a.v[i] / b.v[i])
GENAI__QUAD(fma, (GENAI__V a, GENAI__V b, GENAI__V c), vfmaq_f32(c.v[i], a.v[i], b.v[i]))
GENAI__QUAD(fnma, (GENAI__V a, GENAI__V b, GENAI__V c), vfmsq_f32(c.v[i], a.v[i], b.v[i]))
GENAI__QUAD(sqrt, (GENAI__V a), vsqrtq_f32(a.v[i]))
GENAI__QUAD(if_gt, (GENAI__V a, GENAI__V b, GENAI__V x, GENAI__V y), vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), x.v[i], y.v[i]))
GENAI__QUAD(bits, (GENAI__V a, uint32_t keep, uint32_t flip),
            vreinterpretq_f32_u32(veorq_u32(vandq_u32(vreinterpretq_u32_f32(a.v[i]), vdupq_n_u32(keep)), vdupq_n_u32(flip))))
GENAI__QUAD(shift_add, (GENAI__V a, uint32_t add), vreinterpretq_f32_u32(vaddq_u32(vshlq_n_u32(vreinterpretq_u32_f32(a.v[i]), 23), vdupq_n_u32(add))))
GENAI__INLINE GENAI__V GENAI__K(split)(GENAI__V a, GENAI__V *exponent) {
    GENAI__V r;
    GENAI__UNROLL for (int i = 0; i < 4; i++) {
        int32x4_t u = vreinterpretq_s32_f32(a.v[i]), e = vshrq_n_s32(vsubq_s32(u, vdupq_n_s32(0x3f3504f3)), 23);
        exponent->v[i] = vcvtq_f32_s32(e);
        r.v[i] = vreinterpretq_f32_s32(vsubq_s32(u, vshlq_n_s32(e, 23)));
    }
    return r;
}
GENAI__QUAD(quads, (const float *p, size_t step), vld1q_f32(p + (size_t)i * step))
GENAI__INLINE void GENAI__K(turn)(GENAI__V *v) {
    GENAI__UNROLL for (int i = 0; i < 4; i++) {
        float32x4_t ab = vzip1q_f32(v[0].v[i], v[1].v[i]), AB = vzip2q_f32(v[0].v[i], v[1].v[i]);
        float32x4_t cd = vzip1q_f32(v[2].v[i], v[3].v[i]), CD = vzip2q_f32(v[2].v[i], v[3].v[i]);
        v[0].v[i] = vcombine_f32(vget_low_f32(ab), vget_low_f32(cd));
        v[1].v[i] = vcombine_f32(vget_high_f32(ab), vget_high_f32(cd));
        v[2].v[i] = vcombine_f32(vget_low_f32(AB), vget_low_f32(CD));
        v[3].v[i] = vcombine_f32(vget_high_f32(AB), vget_high_f32(CD));
    }
}
#endif

#if GENAI__PASS == 1
#define GENAI__FUNCTION static GENAI__NOINLINE
#else
#define GENAI__FUNCTION GENAI__INLINE
#endif
#define GENAI__V_LOAD GENAI__K(load)
#define GENAI__V_STORE GENAI__K(store)
#define GENAI__V_SET GENAI__K(set)
#define GENAI__V_ADD GENAI__K(add)
#define GENAI__V_SUB GENAI__K(sub)
#define GENAI__V_MUL GENAI__K(mul)
#define GENAI__V_DIV GENAI__K(div)
#define GENAI__V_FMA GENAI__K(fma)   /* a*b + c  */
#define GENAI__V_FNMA GENAI__K(fnma) /* -a*b + c */
#define GENAI__V_SQRT GENAI__K(sqrt)
#define GENAI__V_IF_GT GENAI__K(if_gt) /* a > b ? x : y */
#define GENAI__V_NEG(a) GENAI__K(bits)(a, 0xffffffffu, 0x80000000u)
#define GENAI__V_ABS(a) GENAI__K(bits)(a, 0x7fffffffu, 0)
#define GENAI__V_EXP GENAI__K(vexp)
#define GENAI__V_EXPM1 GENAI__K(vexpm1)
#define GENAI__V_LOG GENAI__K(vlog)
#define GENAI__V_TANH GENAI__K(vtanh)
#define GENAI__V_SIGMOID GENAI__K(vsigmoid)
#define GENAI__V_SOFTPLUS GENAI__K(vsoftplus)
#define GENAI__V_GELU GENAI__K(vgelu)
#define GENAI__V_GELU_D1 GENAI__K(vgelu_d1)
#define GENAI__V_GELU_D2 GENAI__K(vgelu_d2)
#define GENAI__V_SILU_D1 GENAI__K(vsilu_d1)
#define GENAI__V_SILU_D2 GENAI__K(vsilu_d2)

/* The first `count` of 16 lanes; the others are 0 when loaded. */
static GENAI__NOINLINE GENAI__V GENAI__K(load_tail)(const float *p, size_t count) {
    float t[16];
    for (size_t i = 0; i < 16; i++) t[i] = i < count ? p[i] : 0.0f;
    return GENAI__V_LOAD(t);
}
static GENAI__NOINLINE void GENAI__K(store_tail)(float *p, GENAI__V a, size_t count) {
    float t[16];
    GENAI__V_STORE(t, a);
    for (size_t i = 0; i < count; i++) p[i] = t[i];
}
GENAI__FUNCTION GENAI__V GENAI__K(load_some)(const float *p, size_t count) { return count >= 16 ? GENAI__V_LOAD(p) : GENAI__K(load_tail)(p, count); }
GENAI__FUNCTION void GENAI__K(store_some)(float *p, GENAI__V a, size_t count) {
    if (count >= 16) GENAI__V_STORE(p, a);
    else GENAI__K(store_tail)(p, a, count);
}
/* Runs a body for i = 0, 16, ... < n; inside, LOAD(p) and STORE(p, v) touch p[i..i+15], or what is left of it. */
#define GENAI__EACH(n, ...)                                                                                            \
    {                                                                                                                  \
        size_t i;                                                                                                      \
        for (i = 0; i < (n); i += 16) {                                                                                \
            const size_t left = (n) - i;                                                                               \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
#define GENAI__LOAD(p) GENAI__K(load_some)((p) + i, left)
#define GENAI__STORE(p, a) GENAI__K(store_some)((p) + i, a, left)

/* The 16 lanes in a fixed tree. */
GENAI__FUNCTION float GENAI__K(across)(GENAI__V a) {
    float t[16];
    GENAI__V_STORE(t, a);
    for (int step = 8; step; step /= 2)
        for (int i = 0; i < step; i++) t[i] = t[i] + t[i + step];
    return t[0];
}

/* --- functions; polynomials after Cephes (Moshier 1992), evaluated in fma --- */

GENAI__FUNCTION GENAI__V GENAI__K(exp_series)(GENAI__V x) { /* exp(x)-1 for x near 0 */
    GENAI__V p = GENAI__V_FMA(GENAI__V_SET(1.9875691500e-4f), x, GENAI__V_SET(1.3981999507e-3f));
    p = GENAI__V_FMA(p, x, GENAI__V_SET(8.3334519073e-3f));
    p = GENAI__V_FMA(p, x, GENAI__V_SET(4.1665795894e-2f));
    p = GENAI__V_FMA(p, x, GENAI__V_SET(1.6666665459e-1f));
    p = GENAI__V_FMA(p, x, GENAI__V_SET(5.0000001201e-1f));
    return GENAI__V_FMA(GENAI__V_MUL(x, x), p, x);
}

/* exp(x) = 2^n exp(r), n = round(x / ln 2) by adding 1.5*2^23; 2^n is applied as 2^(n-1) * 2, so that it reaches
 * infinity, or for negative x as 2^(n+1) / 2, so that it reaches 0. */
GENAI__FUNCTION GENAI__V GENAI__K(vexp)(GENAI__V x) {
    GENAI__V t, n, r, p;
    x = GENAI__V_IF_GT(GENAI__V_SET(-88.0f), x, GENAI__V_SET(-88.0f), x);
    x = GENAI__V_IF_GT(x, GENAI__V_SET(89.0f), GENAI__V_SET(89.0f), x);
    t = GENAI__V_FMA(x, GENAI__V_SET(1.44269504088896341f), GENAI__V_SET(12582912.0f));
    n = GENAI__V_SUB(t, GENAI__V_SET(12582912.0f));
    r = GENAI__V_FNMA(n, GENAI__V_SET(0.693359375f), x);
    r = GENAI__V_FMA(n, GENAI__V_SET(2.12194440e-4f), r);
    p = GENAI__V_ADD(GENAI__K(exp_series)(r), GENAI__V_SET(1.0f));
    t = GENAI__V_SUB(t, GENAI__V_IF_GT(x, GENAI__V_SET(0.0f), GENAI__V_SET(1.0f), GENAI__V_SET(-1.0f)));
    return GENAI__V_MUL(GENAI__V_MUL(p, GENAI__K(shift_add)(t, 127u << 23)), GENAI__V_IF_GT(x, GENAI__V_SET(0.0f), GENAI__V_SET(2.0f), GENAI__V_SET(0.5f)));
}

GENAI__FUNCTION GENAI__V GENAI__K(vexpm1)(GENAI__V x) { /* near 0 the series, elsewhere exp(x)-1 */
    return GENAI__V_IF_GT(GENAI__V_SET(0.34f), GENAI__V_ABS(x), GENAI__K(exp_series)(x), GENAI__V_SUB(GENAI__V_EXP(x), GENAI__V_SET(1.0f)));
}

GENAI__FUNCTION GENAI__V GENAI__K(vlog)(GENAI__V x) {
    GENAI__V e, m = GENAI__V_SUB(GENAI__K(split)(x, &e), GENAI__V_SET(1.0f)), z = GENAI__V_MUL(m, m), p;
    p = GENAI__V_FMA(GENAI__V_SET(7.0376836292e-2f), m, GENAI__V_SET(-1.1514610310e-1f));
    p = GENAI__V_FMA(p, m, GENAI__V_SET(1.1676998740e-1f));
    p = GENAI__V_FMA(p, m, GENAI__V_SET(-1.2420140846e-1f));
    p = GENAI__V_FMA(p, m, GENAI__V_SET(1.4249322787e-1f));
    p = GENAI__V_FMA(p, m, GENAI__V_SET(-1.6668057665e-1f));
    p = GENAI__V_FMA(p, m, GENAI__V_SET(2.0000714765e-1f));
    p = GENAI__V_FMA(p, m, GENAI__V_SET(-2.4999993993e-1f));
    p = GENAI__V_FMA(p, m, GENAI__V_SET(3.3333331174e-1f));
    p = GENAI__V_MUL(GENAI__V_MUL(p, m), z);
    p = GENAI__V_FMA(e, GENAI__V_SET(-2.12194440e-4f), p);
    p = GENAI__V_FMA(z, GENAI__V_SET(-0.5f), p);
    p = GENAI__V_FMA(e, GENAI__V_SET(0.693359375f), GENAI__V_ADD(m, p));
    p = GENAI__V_IF_GT(x, GENAI__V_SET(3.402823466e38f), x, p);
    /* 0 gives -inf, below 0 and NaN give NaN */
    return GENAI__V_IF_GT(x, GENAI__V_SET(0.0f), p, GENAI__V_IF_GT(GENAI__V_SET(0.0f), x, GENAI__V_SET(NAN), GENAI__V_SUB(x, GENAI__V_SET(INFINITY))));
}

GENAI__FUNCTION GENAI__V GENAI__K(vtanh)(GENAI__V x) {
    GENAI__V a = GENAI__V_ABS(x), z = GENAI__V_MUL(x, x), p, far;
    p = GENAI__V_FMA(GENAI__V_SET(-5.70498872745e-3f), z, GENAI__V_SET(2.06390887954e-2f));
    p = GENAI__V_FMA(p, z, GENAI__V_SET(-5.37397155531e-2f));
    p = GENAI__V_FMA(p, z, GENAI__V_SET(1.33314422036e-1f));
    p = GENAI__V_FMA(p, z, GENAI__V_SET(-3.33332819422e-1f));
    p = GENAI__V_FMA(GENAI__V_MUL(p, z), x, x);
    far = GENAI__V_SUB(GENAI__V_SET(1.0f), GENAI__V_DIV(GENAI__V_SET(2.0f), GENAI__V_ADD(GENAI__V_EXP(GENAI__V_ADD(a, a)), GENAI__V_SET(1.0f))));
    far = GENAI__V_IF_GT(GENAI__V_SET(0.0f), x, GENAI__V_NEG(far), far);
    return GENAI__V_IF_GT(a, GENAI__V_SET(0.625f), far, p);
}

GENAI__FUNCTION GENAI__V GENAI__K(vsigmoid)(GENAI__V x) { return GENAI__V_DIV(GENAI__V_SET(1.0f), GENAI__V_ADD(GENAI__V_SET(1.0f), GENAI__V_EXP(GENAI__V_NEG(x)))); }

/* max(x,0) + log(1+u), u = exp(-|x|); log(1+u) = log(w) u/(w-1) with w = 1+u rounded corrects the rounding (Goldberg 1991). */
GENAI__FUNCTION GENAI__V GENAI__K(vsoftplus)(GENAI__V x) {
    GENAI__V u = GENAI__V_EXP(GENAI__V_NEG(GENAI__V_ABS(x))), w = GENAI__V_ADD(GENAI__V_SET(1.0f), u), d = GENAI__V_SUB(w, GENAI__V_SET(1.0f));
    GENAI__V l = GENAI__V_IF_GT(d, GENAI__V_SET(0.0f), GENAI__V_MUL(GENAI__V_LOG(w), GENAI__V_DIV(u, d)), u);
    return GENAI__V_ADD(GENAI__V_IF_GT(GENAI__V_SET(0.0f), x, GENAI__V_SET(0.0f), x), l);
}

/* gelu(x) = x (1+t)/2, t = tanh(a), a = k (x + 0.044715 x^3), k = sqrt(2/pi) */
GENAI__FUNCTION GENAI__V GENAI__K(gelu_tanh)(GENAI__V x) {
    return GENAI__V_TANH(GENAI__V_MUL(GENAI__V_SET(0.7978845608f), GENAI__V_FMA(GENAI__V_MUL(GENAI__V_MUL(x, x), x), GENAI__V_SET(0.044715f), x)));
}
GENAI__FUNCTION GENAI__V GENAI__K(gelu_slope)(GENAI__V x) { /* a' */
    return GENAI__V_MUL(GENAI__V_SET(0.7978845608f), GENAI__V_FMA(GENAI__V_MUL(x, x), GENAI__V_SET(0.134145f), GENAI__V_SET(1.0f)));
}
GENAI__FUNCTION GENAI__V GENAI__K(vgelu)(GENAI__V x) { return GENAI__V_MUL(GENAI__V_MUL(GENAI__V_SET(0.5f), x), GENAI__V_ADD(GENAI__V_SET(1.0f), GENAI__K(gelu_tanh)(x))); }
GENAI__FUNCTION GENAI__V GENAI__K(vgelu_d1)(GENAI__V x) { /* (1+t)/2 + x (1-t^2) a'/2 */
    GENAI__V t = GENAI__K(gelu_tanh)(x), s = GENAI__V_MUL(GENAI__V_FNMA(t, t, GENAI__V_SET(1.0f)), GENAI__K(gelu_slope)(x));
    return GENAI__V_MUL(GENAI__V_SET(0.5f), GENAI__V_FMA(x, s, GENAI__V_ADD(GENAI__V_SET(1.0f), t)));
}
GENAI__FUNCTION GENAI__V GENAI__K(vgelu_d2)(GENAI__V x) { /* (1-t^2) (a' + x (a''/2 - t a'^2)), a'' = 6*0.044715 k x */
    GENAI__V t = GENAI__K(gelu_tanh)(x), a1 = GENAI__K(gelu_slope)(x), half_a2 = GENAI__V_MUL(GENAI__V_SET(0.7978845608f * 0.134145f), x);
    return GENAI__V_MUL(GENAI__V_FNMA(t, t, GENAI__V_SET(1.0f)), GENAI__V_FMA(x, GENAI__V_FNMA(GENAI__V_MUL(t, a1), a1, half_a2), a1));
}
/* silu(x) = x s, s = sigmoid(x): s + x s(1-s), and s(1-s) (2 + x (1-2s)) */
GENAI__FUNCTION GENAI__V GENAI__K(vsilu_d1)(GENAI__V x) { GENAI__V s = GENAI__V_SIGMOID(x); return GENAI__V_FMA(x, GENAI__V_FNMA(s, s, s), s); }
GENAI__FUNCTION GENAI__V GENAI__K(vsilu_d2)(GENAI__V x) {
    GENAI__V s = GENAI__V_SIGMOID(x);
    return GENAI__V_MUL(GENAI__V_FNMA(s, s, s), GENAI__V_FMA(x, GENAI__V_FNMA(GENAI__V_SET(2.0f), s, GENAI__V_SET(1.0f)), GENAI__V_SET(2.0f)));
}

/* --- elementwise --- */
#define GENAI__X(name, F, D1, D2)                                                                                      \
    static void GENAI__K(name##_f)(size_t n, const float *px, float *py, float p, float q0) {                          \
        const GENAI__V P = GENAI__V_SET(p), Q = GENAI__V_SET(q0);                                                                           \
        GENAI__EACH(n, const GENAI__V x = GENAI__LOAD(px); GENAI__STORE(py, F);)                                                            \
        (void)P; (void)Q;                                                                                              \
    }                                                                                                                  \
    static void GENAI__K(name##_d1)(size_t n, const float *pg, const float *px, const float *py, float *to, float p, float q0) { \
        const GENAI__V P = GENAI__V_SET(p), Q = GENAI__V_SET(q0);                                                                           \
        GENAI__EACH(n, const GENAI__V g = GENAI__LOAD(pg), x = GENAI__LOAD(px), y = GENAI__LOAD(py); GENAI__STORE(to, D1); (void)x; (void)y;)             \
        (void)P; (void)Q;                                                                                              \
    }                                                                                                                  \
    static void GENAI__K(name##_d2)(size_t n, const float *pg, const float *ph, const float *px, const float *py, float *to, float p, float q0) { \
        const GENAI__V P = GENAI__V_SET(p), Q = GENAI__V_SET(q0);                                                                           \
        GENAI__EACH(n, const GENAI__V q = GENAI__V_MUL(GENAI__LOAD(pg), GENAI__LOAD(ph)), x = GENAI__LOAD(px), y = GENAI__LOAD(py); GENAI__STORE(to, D2); (void)q; (void)x; (void)y;) \
        (void)P; (void)Q;                                                                                              \
    }
GENAI__UNARY_OPS(GENAI__X)
#undef GENAI__X

#define GENAI__X(name, F)                                                                                              \
    static void GENAI__K(name##_binary)(size_t n, const float *pa, size_t a_step, const float *pb, size_t b_step, float *y) { \
        const GENAI__V a0 = GENAI__V_SET(n ? *pa : 0.0f), b0 = GENAI__V_SET(n ? *pb : 0.0f);                                                \
        if (a_step && b_step) GENAI__EACH(n, const GENAI__V a = GENAI__LOAD(pa), b = GENAI__LOAD(pb); GENAI__STORE(y, F);)                         \
        else if (a_step) GENAI__EACH(n, const GENAI__V a = GENAI__LOAD(pa), b = b0; GENAI__STORE(y, F);)                                    \
        else if (b_step) GENAI__EACH(n, const GENAI__V a = a0, b = GENAI__LOAD(pb); GENAI__STORE(y, F);)                                    \
        else GENAI__EACH(n, const GENAI__V a = a0, b = b0; GENAI__STORE(y, F);)                                                      \
    }
GENAI__BINARY_OPS(GENAI__X)
#undef GENAI__X

/* --- sums --- */
static float GENAI__K(sum)(size_t n, const float *x) {
    GENAI__V s = GENAI__V_SET(0.0f);
    GENAI__EACH(n, s = GENAI__V_ADD(s, GENAI__LOAD(x));)
    return GENAI__K(across)(s);
}
static float GENAI__K(sum_squares)(size_t n, const float *x) {
    GENAI__V s = GENAI__V_SET(0.0f);
    GENAI__EACH(n, const GENAI__V a = GENAI__LOAD(x); s = GENAI__V_FMA(a, a, s);)
    return GENAI__K(across)(s);
}
static float GENAI__K(maximum)(size_t n, const float *x) { /* order doesn't matter here, but for NaN */
    float m = x[0];
    for (size_t i = 1; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}
static void GENAI__K(add_to)(size_t n, float *y, const float *x) { GENAI__EACH(n, GENAI__STORE(y, GENAI__V_ADD(GENAI__LOAD(y), GENAI__LOAD(x)));) }
static void GENAI__K(lerp)(size_t n, float *y, const float *x, float keep) {
    const GENAI__V k = GENAI__V_SET(keep), m = GENAI__V_SET(1.0f - keep);
    GENAI__EACH(n, GENAI__STORE(y, GENAI__V_FMA(k, GENAI__LOAD(y), GENAI__V_MUL(m, GENAI__LOAD(x))));)
}

/* --- columns: [rows, n], one value a column --- */
static void GENAI__K(column_sums)(size_t rows, size_t n, const float *x, float *y) {
    GENAI__EACH(n, GENAI__V s = GENAI__V_SET(0.0f); for (size_t r = 0; r < rows; r++) s = GENAI__V_ADD(s, GENAI__LOAD(x + r * n)); GENAI__STORE(y, s);)
}
static void GENAI__K(column_squares)(size_t rows, size_t n, const float *x, const float *mean, float *y) {
    GENAI__EACH(n, GENAI__V s = GENAI__V_SET(0.0f); const GENAI__V m = GENAI__LOAD(mean);
                for (size_t r = 0; r < rows; r++) { const GENAI__V d = GENAI__V_SUB(GENAI__LOAD(x + r * n), m); s = GENAI__V_FMA(d, d, s); }
                GENAI__STORE(y, s);)
}
static void GENAI__K(column_affine)(size_t rows, size_t n, const float *x, const float *scale, const float *shift, float *y) {
    size_t r;
    for (r = 0; r < rows; r++, x += n, y += n) GENAI__EACH(n, GENAI__STORE(y, GENAI__V_FMA(GENAI__LOAD(x), GENAI__LOAD(scale), GENAI__LOAD(shift)));)
}
static void GENAI__K(column_products)(size_t rows, size_t n, const float *g, const float *x, const float *mean, float *sum_g, float *sum_gx) {
    size_t r;
    GENAI__EACH(n, GENAI__V s = GENAI__V_SET(0.0f); GENAI__V t = GENAI__V_SET(0.0f); const GENAI__V m = GENAI__LOAD(mean);
                for (r = 0; r < rows; r++) { const GENAI__V d = GENAI__LOAD(g + r * n); s = GENAI__V_ADD(s, d); t = GENAI__V_FMA(d, GENAI__V_SUB(GENAI__LOAD(x + r * n), m), t); }
                GENAI__STORE(sum_g, s); GENAI__STORE(sum_gx, t);)
}
static void GENAI__K(column_combine)(size_t rows, size_t n, const float *g, const float *x, const float *a, const float *b, const float *c,
                                     float *y) {
    size_t r;
    for (r = 0; r < rows; r++, g += n, x += n, y += n)
        GENAI__EACH(n, GENAI__STORE(y, GENAI__V_FMA(GENAI__LOAD(g), GENAI__LOAD(a), GENAI__V_FMA(GENAI__LOAD(x), GENAI__LOAD(b), GENAI__LOAD(c))));)
}

/* --- Winograd's transforms; see >>conv. Each is unrolled for its four sizes, but not in the scalar pass. --- */
#if GENAI__PASS == 1
#define GENAI__EVERY
#define GENAI__SIZES(h, w, small, call) call(h, w)
#else
#define GENAI__EVERY GENAI__UNROLL
#define GENAI__SIZES(h, w, small, call)                                                                                \
    if (h == small && w == small) call(small, small)                                                                   \
    else if (h == small) call(small, (small + 1))                                                                        \
    else if (w == small) call((small + 1), small)                                                                      \
    else call((small + 1), (small + 1))
#endif
GENAI__FUNCTION void GENAI__K(winograd_b)(const GENAI__V *d, int step, int products, GENAI__V *to, int to_step) {
    to[0] = GENAI__V_SUB(d[0], d[2 * step]);
    to[to_step] = GENAI__V_ADD(d[step], d[2 * step]);
    to[2 * to_step] = GENAI__V_SUB(d[2 * step], d[step]);
    if (products == 4) to[3 * to_step] = GENAI__V_SUB(d[step], d[3 * step]);
}
static void GENAI__K(winograd_windows)(size_t n, const float *const d[16], int products_h, int products_w, float *to, size_t product) {
    int h, w;
#define GENAI__CALL(H, W)                                                                                              \
    GENAI__EACH(n, GENAI__V x[16]; GENAI__V y[16];                                                                                          \
                GENAI__EVERY for (h = 0; h < H; h++) { GENAI__EVERY for (w = 0; w < W; w++) y[w] = GENAI__LOAD(d[h * 4 + w]); GENAI__K(winograd_b)(y, 1, W, x + h * 4, 1); } \
                GENAI__EVERY for (w = 0; w < W; w++) GENAI__K(winograd_b)(x + w, 4, H, y + w, 4);                                          \
                GENAI__EVERY for (h = 0; h < H; h++) GENAI__EVERY for (w = 0; w < W; w++) GENAI__STORE(to + (size_t)(h * W + w) * product, y[h * 4 + w]);)
    GENAI__SIZES(products_h, products_w, 3, GENAI__CALL)
#undef GENAI__CALL
}
GENAI__FUNCTION void GENAI__K(winograd_a)(GENAI__V d0, GENAI__V d1, GENAI__V *to, int to_step) {
    to[0] = d0;
    to[to_step] = GENAI__V_ADD(d0, d1);
    to[2 * to_step] = GENAI__V_SUB(d0, d1);
    to[3 * to_step] = GENAI__V_NEG(d1);
}
static void GENAI__K(winograd_gradients)(size_t n, const float *const d[4], int products_h, int products_w, float *to, size_t product) {
    int h, w;
#define GENAI__CALL(H, W)                                                                                              \
    GENAI__EACH(n, GENAI__V x[8]; GENAI__V y[16];                                                                                           \
                GENAI__K(winograd_a)(GENAI__LOAD(d[0]), GENAI__LOAD(d[1]), x, 1); GENAI__K(winograd_a)(GENAI__LOAD(d[2]), GENAI__LOAD(d[3]), x + 4, 1); \
                GENAI__EVERY for (w = 0; w < W; w++) GENAI__K(winograd_a)(x[w], x[4 + w], y + w, 4);                                       \
                GENAI__EVERY for (h = 0; h < H; h++) GENAI__EVERY for (w = 0; w < W; w++) GENAI__STORE(to + (size_t)(h * W + w) * product, y[h * 4 + w]);)
    GENAI__SIZES(products_h, products_w, 3, GENAI__CALL)
#undef GENAI__CALL
}
GENAI__FUNCTION void GENAI__K(winograd_g)(const GENAI__V *g, int step, int taps, GENAI__V *to, int to_step) {
    const GENAI__V half = GENAI__V_SET(0.5f), even = taps == 3 ? GENAI__V_MUL(half, GENAI__V_ADD(g[0], g[2 * step])) : GENAI__V_MUL(half, g[0]);
    to[0] = g[0];
    to[to_step] = GENAI__V_FMA(half, g[step], even);
    to[2 * to_step] = GENAI__V_FNMA(half, g[step], even);
    if (taps == 3) to[3 * to_step] = g[2 * step];
}
static void GENAI__K(winograd_weights)(size_t rows, size_t n, size_t row, const float *const tap[9], int taps_h, int taps_w, float *to, size_t product,
                                       size_t to_row) {
    GENAI__V g[9], x[12], y[16];
    size_t   r;
    int      h, w;
#define GENAI__CALL(H, W)                                                                                              \
    for (r = 0; r < rows; r++) {                                                                                       \
        GENAI__EVERY for (h = 0; h < H; h++) GENAI__EVERY for (w = 0; w < W; w++) g[h * 3 + w] = GENAI__K(load_some)(tap[h * 3 + w] + r * row, n); \
        GENAI__EVERY for (w = 0; w < W; w++) GENAI__K(winograd_g)(g + w, 3, H, x + w, 3);                                                  \
        GENAI__EVERY for (h = 0; h < H + 1; h++) {                                                                                  \
            GENAI__K(winograd_g)(x + h * 3, 1, W, y + h * 4, 1);                                                                            \
            GENAI__EVERY for (w = 0; w < W + 1; w++) GENAI__V_STORE(to + (size_t)(h * (W + 1) + w) * product + r * to_row, y[h * 4 + w]); \
        }                                                                                                              \
    }
    GENAI__SIZES(taps_h, taps_w, 2, GENAI__CALL)
#undef GENAI__CALL
}
static void GENAI__K(winograd_outputs)(size_t n, const float *m, size_t product, int products_h, int products_w, const float *bias, float *const y[4]) {
    int h;
#define GENAI__CALL(H, W)                                                                                              \
    GENAI__EACH(n, GENAI__V a[4]; GENAI__V b[4]; const GENAI__V shift = bias ? GENAI__LOAD(bias) : GENAI__V_SET(0.0f); const float *p = m;  \
                a[3] = b[3] = GENAI__V_SET(0.0f);                                                                      \
                GENAI__EVERY for (h = 0; h < H; h++, p += (size_t)(W) * product) {                                    \
                    const GENAI__V m1 = GENAI__LOAD(p + product); const GENAI__V m2 = GENAI__LOAD(p + 2 * product);    \
                    a[h] = GENAI__V_ADD(GENAI__LOAD(p), GENAI__V_ADD(m1, m2)); b[h] = GENAI__V_SUB(m1, m2);            \
                    if (W == 4) b[h] = GENAI__V_SUB(b[h], GENAI__LOAD(p + 3 * product));                               \
                }                                                                                                      \
                GENAI__STORE(y[0], GENAI__V_ADD(GENAI__V_ADD(a[0], GENAI__V_ADD(a[1], a[2])), shift));                 \
                GENAI__STORE(y[1], GENAI__V_ADD(GENAI__V_ADD(b[0], GENAI__V_ADD(b[1], b[2])), shift));                 \
                GENAI__STORE(y[2], GENAI__V_ADD(GENAI__V_SUB(GENAI__V_SUB(a[1], a[2]), a[3]), shift));                 \
                GENAI__STORE(y[3], GENAI__V_ADD(GENAI__V_SUB(GENAI__V_SUB(b[1], b[2]), b[3]), shift));)
    GENAI__SIZES(products_h, products_w, 3, GENAI__CALL)
#undef GENAI__CALL
}
GENAI__FUNCTION void GENAI__K(winograd_gt)(const GENAI__V *m, int step, int taps, GENAI__V *to, int to_step) {
    const GENAI__V half = GENAI__V_SET(0.5f), sum = GENAI__V_MUL(half, GENAI__V_ADD(m[step], m[2 * step]));
    to[0] = GENAI__V_ADD(m[0], sum);
    to[to_step] = GENAI__V_MUL(half, GENAI__V_SUB(m[step], m[2 * step]));
    if (taps > 2) to[2 * to_step] = GENAI__V_ADD(sum, m[3 * step]);
}
static void GENAI__K(winograd_taps)(size_t n, const float *m, size_t product, int taps_h, int taps_w, float *const tap[9]) {
    int h, w;
#define GENAI__CALL(H, W)                                                                                              \
    GENAI__EACH(n, GENAI__V x[16]; GENAI__V y[12];                                                                                          \
                GENAI__EVERY for (h = 0; h < H + 1; h++) GENAI__EVERY for (w = 0; w < W + 1; w++)                           \
                    x[h * 4 + w] = GENAI__LOAD(m + (size_t)(h * (W + 1) + w) * product);                                             \
                GENAI__EVERY for (w = 0; w < W + 1; w++) GENAI__K(winograd_gt)(x + w, 4, H, y + w, 4);                              \
                GENAI__EVERY for (h = 0; h < H; h++) {                                                                                     \
                    GENAI__K(winograd_gt)(y + h * 4, 1, W, x, 1);                                                                           \
                    GENAI__EVERY for (w = 0; w < W; w++) GENAI__STORE(tap[h * 3 + w], x[w]);                                               \
                })
    GENAI__SIZES(taps_h, taps_w, 2, GENAI__CALL)
#undef GENAI__CALL
}
#undef GENAI__EVERY
#undef GENAI__SIZES
/* --- y[n][16] from x[16][n], as panels of the matrix product want it --- */
static void GENAI__K(transpose)(size_t n, const float *x, size_t x_row, float *y) {
    size_t   p = 0, i;
    GENAI__V v[4];
    for (; p + 4 <= n; p += 4, y += 64) {
        GENAI__UNROLL for (i = 0; i < 4; i++) v[i] = GENAI__K(quads)(x + i * x_row + p, 4 * x_row);
        GENAI__K(turn)(v);
        GENAI__UNROLL for (i = 0; i < 4; i++) GENAI__V_STORE(y + i * 16, v[i]);
    }
    for (; p < n; p++, y += 16)
        for (i = 0; i < 16; i++) y[i] = x[i * x_row + p];
}

static void GENAI__K(panels_of)(size_t rows, size_t n, const float *x, size_t x_row, float *y, size_t panel) {
    for (size_t r = 0; r < rows; r++, x += x_row, y += 16) { /* rows far apart: the processor doesn't foresee the next ones */
        const float *ahead = r + 8 < rows ? x + 8 * x_row : x;
        for (size_t j = 0; j < n; j += 16) {
            GENAI__PREFETCH(ahead + j);
            GENAI__V_STORE(y + j / 16 * panel, GENAI__V_LOAD(x + j));
        }
    }
}

/* --- dropout: + 0 makes +0 of a product that is -0 --- */
static void GENAI__K(dropout)(size_t n, const float *u, const float *x, float *y, float p, float q) {
    const GENAI__V P = GENAI__V_SET(p), Q = GENAI__V_SET(q), zero = GENAI__V_SET(0.0f), dropped = GENAI__V_NEG(zero);
    GENAI__EACH(n, GENAI__STORE(y, GENAI__V_IF_GT(GENAI__LOAD(u), P, GENAI__V_ADD(GENAI__V_MUL(GENAI__LOAD(x), Q), zero), dropped));)
}
static void GENAI__K(dropout_d1)(size_t n, const float *g, const float *y, float *to, float q) {
    const GENAI__V Q = GENAI__V_SET(q), zero = GENAI__V_SET(0.0f);
    GENAI__EACH(n, const GENAI__V v = GENAI__LOAD(y); const GENAI__V d = GENAI__V_MUL(GENAI__LOAD(g), Q);
                const GENAI__V sign = GENAI__K(bits)(v, 0x80000000u, 0x3f800000u); /* +-1 */
                const GENAI__V kept = GENAI__V_IF_GT(sign, zero, d, zero);
                GENAI__STORE(to, GENAI__V_IF_GT(GENAI__V_ABS(v), zero, d, kept));)
}

/* --- random --- */

/* 16 counters of genai__philox side by side; compilers make vectors of it. */
static void GENAI__K(uniforms)(uint64_t key, uint32_t index, uint32_t c1, uint32_t c2, uint32_t c3, int above_zero, float *y) {
    uint32_t c[4][16], k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int i = 0; i < 16; i++) { c[0][i] = index + (uint32_t)i; c[1][i] = c1; c[2][i] = c2; c[3][i] = c3; }
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int i = 0; i < 16; i++) {
            const uint64_t p0 = (uint64_t)c[0][i] * 0xD2511F53u, p1 = (uint64_t)c[2][i] * 0xCD9E8D57u;
            c[0][i] = (uint32_t)(p1 >> 32) ^ c[1][i] ^ k0;
            c[2][i] = (uint32_t)(p0 >> 32) ^ c[3][i] ^ k1;
            c[1][i] = (uint32_t)p1;
            c[3][i] = (uint32_t)p0;
        }
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < 16; i++) y[j * 16 + i] = (float)((int32_t)(c[j][i] >> 8) + (above_zero && j < 2)) * (1.0f / 16777216.0f);
}

/* u, v become r cos(2 pi v), r sin(2 pi v) with r = sqrt(-2 log u) --- */
static void GENAI__K(normal_pairs)(size_t n, float *u, float *v) {
    const GENAI__V one = GENAI__V_SET(1.0f), zero = GENAI__V_SET(0.0f);
    GENAI__EACH(n, const GENAI__V r = GENAI__V_SQRT(GENAI__V_MUL(GENAI__V_SET(-2.0f), GENAI__V_LOG(GENAI__LOAD(u)))); const GENAI__V a = GENAI__V_MUL(GENAI__V_SET(4.0f), GENAI__LOAD(v));
                const GENAI__V k = GENAI__V_SUB(GENAI__V_ADD(a, GENAI__V_SET(12582912.0f)), GENAI__V_SET(12582912.0f)); /* quadrant, 0 to 4 */
                const GENAI__V t = GENAI__V_MUL(GENAI__V_SUB(a, k), GENAI__V_SET(1.57079632679f)); const GENAI__V z = GENAI__V_MUL(t, t); GENAI__V s; GENAI__V c; GENAI__V odd; GENAI__V x; GENAI__V y;
                s = GENAI__V_FMA(GENAI__V_SET(-1.9515295891e-4f), z, GENAI__V_SET(8.3321608736e-3f));
                s = GENAI__V_FMA(s, z, GENAI__V_SET(-1.6666654611e-1f));
                s = GENAI__V_FMA(GENAI__V_MUL(s, z), t, t);
                c = GENAI__V_FMA(GENAI__V_SET(2.443315711809948e-5f), z, GENAI__V_SET(-1.388731625493765e-3f));
                c = GENAI__V_FMA(c, z, GENAI__V_SET(4.166664568298827e-2f));
                c = GENAI__V_FMA(GENAI__V_MUL(c, z), z, GENAI__V_FMA(z, GENAI__V_SET(-0.5f), one));
                odd = GENAI__V_ABS(GENAI__V_SUB(k, GENAI__V_SET(2.0f)));                                  /* 1 in quadrants 1 and 3 */
                odd = GENAI__V_IF_GT(odd, GENAI__V_SET(0.5f), GENAI__V_IF_GT(GENAI__V_SET(1.5f), odd, one, zero), zero);
                x = GENAI__V_IF_GT(odd, zero, s, c);
                y = GENAI__V_IF_GT(odd, zero, c, s);
                x = GENAI__V_IF_GT(k, GENAI__V_SET(0.5f), GENAI__V_IF_GT(GENAI__V_SET(2.5f), k, GENAI__V_NEG(x), x), x); /* cos < 0 in 1, 2 */
                y = GENAI__V_IF_GT(k, GENAI__V_SET(1.5f), GENAI__V_IF_GT(GENAI__V_SET(3.5f), k, GENAI__V_NEG(y), y), y); /* sin < 0 in 2, 3 */
                GENAI__STORE(u, GENAI__V_MUL(r, x)); GENAI__STORE(v, GENAI__V_MUL(r, y));)
}

/* --- optimisers; see >>optim for the papers --- */
GENAI__FUNCTION GENAI__V GENAI__K(gradient)(GENAI__V g, GENAI__V p, const genai__update *u) {
    g = GENAI__V_MUL(g, GENAI__V_SET(u->scale));
    if (u->clip > 0.0f) {
        const GENAI__V c = GENAI__V_SET(u->clip);
        g = GENAI__V_IF_GT(g, c, c, GENAI__V_IF_GT(GENAI__V_NEG(c), g, GENAI__V_NEG(c), g));
    }
    return GENAI__V_FMA(GENAI__V_SET(u->decay), p, g);
}
static void GENAI__K(adam)(size_t n, float *pp, const float *pg, float *pm, float *pv, const genai__update *u) {
    const GENAI__V b1 = GENAI__V_SET(u->beta1), c1 = GENAI__V_SET(1.0f - u->beta1), b2 = GENAI__V_SET(u->beta2), c2 = GENAI__V_SET(1.0f - u->beta2), eps = GENAI__V_SET(u->eps);
    const GENAI__V lr = GENAI__V_SET(u->lr), k1 = GENAI__V_SET(u->correction1), k2 = GENAI__V_SET(u->correction2), keep = GENAI__V_SET(1.0f - u->lr * u->decoupled);
    GENAI__EACH(n, GENAI__V p = GENAI__LOAD(pp); const GENAI__V g = GENAI__K(gradient)(GENAI__LOAD(pg), p, u); const GENAI__V m = GENAI__V_FMA(b1, GENAI__LOAD(pm), GENAI__V_MUL(c1, g));
                const GENAI__V v = GENAI__V_FMA(b2, GENAI__LOAD(pv), GENAI__V_MUL(c2, GENAI__V_MUL(g, g)));
                p = GENAI__V_FNMA(lr, GENAI__V_DIV(GENAI__V_MUL(m, k1), GENAI__V_ADD(GENAI__V_SQRT(GENAI__V_MUL(v, k2)), eps)), GENAI__V_MUL(p, keep));
                GENAI__STORE(pm, m); GENAI__STORE(pv, v); GENAI__STORE(pp, p);)
}
static void GENAI__K(sgd)(size_t n, float *pp, const float *pg, float *pm, const genai__update *u) {
    const GENAI__V lr = GENAI__V_SET(u->lr), mu = GENAI__V_SET(u->momentum);
    if (!pm) GENAI__EACH(n, const GENAI__V p = GENAI__LOAD(pp); GENAI__STORE(pp, GENAI__V_FNMA(lr, GENAI__K(gradient)(GENAI__LOAD(pg), p, u), p));)
    else GENAI__EACH(n, const GENAI__V p = GENAI__LOAD(pp); const GENAI__V g = GENAI__K(gradient)(GENAI__LOAD(pg), p, u); const GENAI__V m = GENAI__V_FMA(mu, GENAI__LOAD(pm), g);
                     GENAI__STORE(pm, m); GENAI__STORE(pp, GENAI__V_FNMA(lr, u->nesterov ? GENAI__V_FMA(mu, m, g) : m, p));)
}
static void GENAI__K(rmsprop)(size_t n, float *pp, const float *pg, float *pv, float *pm, const genai__update *u) {
    const GENAI__V lr = GENAI__V_SET(u->lr), b = GENAI__V_SET(u->beta2), c = GENAI__V_SET(1.0f - u->beta2), eps = GENAI__V_SET(u->eps), mu = GENAI__V_SET(u->momentum);
    GENAI__EACH(n, const GENAI__V p = GENAI__LOAD(pp); const GENAI__V g = GENAI__K(gradient)(GENAI__LOAD(pg), p, u);
                const GENAI__V v = GENAI__V_FMA(b, GENAI__LOAD(pv), GENAI__V_MUL(c, GENAI__V_MUL(g, g))); GENAI__V d = GENAI__V_DIV(g, GENAI__V_ADD(GENAI__V_SQRT(v), eps)); GENAI__STORE(pv, v);
                if (pm) { d = GENAI__V_FMA(mu, GENAI__LOAD(pm), d); GENAI__STORE(pm, d); }
                GENAI__STORE(pp, GENAI__V_FNMA(lr, d, p));)
}

/* --- matrix tiles: ROWS x 16*PANELS accumulators stay in registers. AVX-512 8x48: 24 + 3 + 1 of 32; AVX2 6x16: 12 + 2 + 1
 * of 16; NEON 6x16: 24 + 4 + 1 of 32. A is read one element at a time, so any two strides will do. --- */
#define GENAI__W_EACH (16 / GENAI__W_LANES)
#define GENAI__TILE(ROWS, PANELS)                                                                                      \
    static void GENAI__K(tile_##ROWS##x##PANELS)(size_t k, const float *a, size_t a_row, size_t a_col, const float *b, size_t b_row, \
                                                 size_t b_panel, float *c, size_t c_row, int add, const float *bias) { \
        GENAI__W   s[ROWS][PANELS * GENAI__W_EACH], bv[PANELS * GENAI__W_EACH];                                                             \
        int r, j;                                                                                                      \
        if (add) { GENAI__UNROLL for (r = 0; r < ROWS; r++, c += c_row) { GENAI__UNROLL for (j = 0; j < PANELS * GENAI__W_EACH; j++) \
            s[r][j] = GENAI__W_LOAD(c + j * GENAI__W_LANES); } c -= ROWS * c_row; }                                    \
        else { GENAI__UNROLL for (r = 0; r < ROWS; r++) { GENAI__UNROLL for (j = 0; j < PANELS * GENAI__W_EACH; j++) s[r][j] = GENAI__W_SET(0.0f); } \
            GENAI__UNROLL for (r = 0; r < ROWS; r++, c += c_row) { GENAI__UNROLL for (j = 0; j < PANELS; j++) GENAI__PREFETCH_WRITE(c + j * 16); } c -= ROWS * c_row; } \
        for (; k; k--, a += a_col, b += b_row) {                                                                       \
            GENAI__UNROLL for (j = 0; j < PANELS * GENAI__W_EACH; j++) bv[j] = GENAI__W_LOAD(b + (size_t)(j / GENAI__W_EACH) * b_panel + j % GENAI__W_EACH * GENAI__W_LANES); \
            GENAI__UNROLL for (r = 0; r < ROWS; r++) {                                                                 \
                const GENAI__W av = GENAI__W_SET(a[(size_t)r * a_row]);                                                              \
                GENAI__UNROLL for (j = 0; j < PANELS * GENAI__W_EACH; j++) s[r][j] = GENAI__W_FMA(av, bv[j], s[r][j]);               \
            }                                                                                                          \
        }                                                                                                              \
        if (bias) { GENAI__UNROLL for (j = 0; j < PANELS * GENAI__W_EACH; j++) {                                       \
            bv[j] = GENAI__W_LOAD(bias + j * GENAI__W_LANES);                                                          \
            GENAI__UNROLL for (r = 0; r < ROWS; r++) s[r][j] = GENAI__W_FMA(GENAI__W_SET(1.0f), bv[j], s[r][j]); } }   \
        GENAI__UNROLL for (r = 0; r < ROWS; r++, c += c_row) { GENAI__UNROLL for (j = 0; j < PANELS * GENAI__W_EACH; j++)     \
            GENAI__W_STORE(c + j * GENAI__W_LANES, s[r][j]); }                                                         \
    }
GENAI__TILE(4, 1)
GENAI__TILE(2, 1)
GENAI__TILE(1, 1)
#if GENAI__PASS == 3
GENAI__TILE(8, 1)
GENAI__TILE(8, 2) GENAI__TILE(4, 2) GENAI__TILE(2, 2) GENAI__TILE(1, 2)
GENAI__TILE(8, 3) GENAI__TILE(4, 3) GENAI__TILE(2, 3) GENAI__TILE(1, 3)
#elif GENAI__PASS != 1
GENAI__TILE(6, 1)
#endif

static const genai__kernels GENAI__K(kernels) = {
    GENAI__ISA,
#if GENAI__PASS == 3
    3, {8, 4, 2, 1},
    {{GENAI__K(tile_8x1), GENAI__K(tile_4x1), GENAI__K(tile_2x1), GENAI__K(tile_1x1)},
     {GENAI__K(tile_8x2), GENAI__K(tile_4x2), GENAI__K(tile_2x2), GENAI__K(tile_1x2)},
     {GENAI__K(tile_8x3), GENAI__K(tile_4x3), GENAI__K(tile_2x3), GENAI__K(tile_1x3)}},
#elif GENAI__PASS != 1
    1, {6, 4, 2, 1},
    {{GENAI__K(tile_6x1), GENAI__K(tile_4x1), GENAI__K(tile_2x1), GENAI__K(tile_1x1)}, {NULL, NULL, NULL, NULL}, {NULL, NULL, NULL, NULL}},
#else
    1, {4, 2, 1, 1},
    {{GENAI__K(tile_4x1), GENAI__K(tile_2x1), GENAI__K(tile_1x1), GENAI__K(tile_1x1)}, {NULL, NULL, NULL, NULL}, {NULL, NULL, NULL, NULL}},
#endif
#define GENAI__X(name, f, d1, d2) {GENAI__K(name##_f), GENAI__K(name##_d1), GENAI__K(name##_d2)},
    GENAI__UNARY_OPS(GENAI__X)
#undef GENAI__X
#define GENAI__X(name, f) GENAI__K(name##_binary),
    GENAI__BINARY_OPS(GENAI__X)
#undef GENAI__X
    GENAI__K(sum), GENAI__K(sum_squares), GENAI__K(maximum), GENAI__K(add_to), GENAI__K(lerp), GENAI__K(column_sums),
    GENAI__K(column_squares), GENAI__K(column_affine), GENAI__K(column_products), GENAI__K(column_combine), GENAI__K(winograd_windows),
    GENAI__K(winograd_gradients), GENAI__K(winograd_weights), GENAI__K(winograd_outputs), GENAI__K(winograd_taps), GENAI__K(transpose),
    GENAI__K(panels_of), GENAI__K(dropout), GENAI__K(dropout_d1), GENAI__K(uniforms),
    GENAI__K(normal_pairs), GENAI__K(adam), GENAI__K(sgd), GENAI__K(rmsprop)};

/* What differs from pass to pass; the other words are made of these, and stay. */
#undef GENAI__PASS
#undef GENAI__SUFFIX
#undef GENAI__ISA
#undef GENAI__FUNCTION
#undef GENAI__W_LANES
#undef GENAI__W_LOAD
#undef GENAI__W_STORE
#undef GENAI__W_SET
#undef GENAI__W_FMA
#endif /* GENAI__PASS */

/*
--------------------------------------------------------------------------------
This software is available under two licences: choose the one you prefer.
--------------------------------------------------------------------------------
ALTERNATIVE A - MIT License

Copyright (c) 2026 the genai.h authors

Permission is hereby granted, free of charge, to any person obtaining a copy of
this software and associated documentation files (the "Software"), to deal in
the Software without restriction, including without limitation the rights to
use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies
of the Software, and to permit persons to whom the Software is furnished to do
so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
--------------------------------------------------------------------------------
ALTERNATIVE B - Public Domain (www.unlicense.org)

This is free and unencumbered software released into the public domain.

Anyone is free to copy, modify, publish, use, compile, sell, or distribute this
software, either in source code form or as a compiled binary, for any purpose,
commercial or non-commercial, and by any means.

In jurisdictions that recognize copyright laws, the author or authors of this
software dedicate any and all copyright interest in the software to the public
domain. We make this dedication for the benefit of the public at large and to
the detriment of our heirs and successors. We intend this dedication to be an
overt act of relinquishment in perpetuity of all present and future rights to
this software under copyright law.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN
ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION
WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
--------------------------------------------------------------------------------
*/
