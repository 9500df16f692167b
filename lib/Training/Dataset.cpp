//===- Dataset.cpp - image classification sets in IDX files, and texts ----===//

#include "gradus/Training.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace gradus;

static constexpr llvm::StringLiteral fashionMnist =
    "/usr/share/datasets/fashion-mnist";

static llvm::Expected<HostTensor> readPart(StringRef folder, StringRef part) {
  SmallVector<char> path;
  for (StringRef suffix : {".gz", ""}) {
    path.clear();
    llvm::sys::path::append(path, folder, part + suffix);
    if (llvm::sys::fs::exists(path))
      return readIdx(StringRef(path.data(), path.size()));
  }
  return llvm::createStringError(folder + ": there is no " + part +
                                 " in this folder, gzipped or not");
}

static llvm::Expected<Examples> readExamples(StringRef folder,
                                             StringRef prefix) {
  auto images = readPart(folder, (prefix + "-images-idx3-ubyte").str());
  if (!images)
    return images.takeError();
  auto labels = readPart(folder, (prefix + "-labels-idx1-ubyte").str());
  if (!labels)
    return labels.takeError();
  if (images->shape.size() < 2 || labels->shape.size() != 1 ||
      images->shape[0] != labels->shape[0])
    return llvm::createStringError(
        folder + ": " + prefix + " images are " + images->str() +
        " and labels " + labels->str() + "; there must be one label an image");
  if (images->shape[0] == 0)
    return llvm::createStringError(folder + ": " + prefix +
                                   " holds no examples");
  return Examples{std::move(*images), std::move(*labels), /*isText=*/false};
}

llvm::Expected<Dataset> gradus::loadDataset(StringRef name) {
  StringRef folder = name == "fashion-mnist" ? StringRef(fashionMnist) : name;
  if (!llvm::sys::fs::is_directory(folder)) {
    if (name == "fashion-mnist")
      return llvm::createStringError(
          "the data set fashion-mnist is not installed: apt-get install "
          "dataset-fashion-mnist");
    return llvm::createStringError("--data=" + name +
                                   ": neither 'fashion-mnist', nor a folder, "
                                   "nor a text file");
  }
  auto train = readExamples(folder, "train");
  if (!train)
    return train.takeError();
  auto test = readExamples(folder, "t10k");
  if (!test)
    return test.takeError();
  if (train->features() != test->features())
    return llvm::createStringError(folder + ": training images are " +
                                   train->images.str() + ", test images " +
                                   test->images.str());
  return Dataset{std::move(*train), std::move(*test)};
}

bool gradus::isText(StringRef name) {
  return llvm::sys::fs::is_regular_file(name);
}

llvm::Expected<Dataset> gradus::loadText(StringRef file, int64_t length) {
  if (length < 2)
    return llvm::createStringError(
        "an example of a text has two bytes at least, but the model takes " +
        llvm::Twine(length));
  auto bytes = readFile(file);
  if (!bytes)
    return bytes.takeError();
  int64_t step = length - 1;
  int64_t count = (int64_t(bytes->size()) - 1) / step;
  int64_t held = count / 10;
  if (held < 1)
    return llvm::createStringError(file + ": " + llvm::Twine(bytes->size()) +
                                   " bytes are too few: ten examples of " +
                                   llvm::Twine(length) +
                                   " bytes are the least");
  auto part = [&](int64_t first, int64_t end) {
    HostTensor rows({DType::U8, {end - first, length}});
    for (int64_t row = first; row < end; ++row)
      std::copy_n(bytes->begin() + row * step, length,
                  rows.bytes.begin() + (row - first) * length);
    return Examples{std::move(rows), HostTensor(), /*isText=*/true};
  };
  return Dataset{part(0, count - held), part(count - held, count)};
}
