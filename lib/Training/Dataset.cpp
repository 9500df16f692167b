//===- Dataset.cpp - image classification sets in IDX files ---------------===//

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
  return Examples{std::move(*images), std::move(*labels)};
}

llvm::Expected<Dataset> gradus::loadDataset(StringRef name) {
  StringRef folder = name == "fashion-mnist" ? StringRef(fashionMnist) : name;
  if (!llvm::sys::fs::is_directory(folder)) {
    if (name == "fashion-mnist")
      return llvm::createStringError(
          "the data set fashion-mnist is not installed: apt-get install "
          "dataset-fashion-mnist");
    return llvm::createStringError("--data=" + name +
                                   ": neither 'fashion-mnist' nor a folder");
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
